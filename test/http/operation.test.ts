import { afterEach, describe, expect, test } from "vitest";
import { createMetrics } from "../../src/operation/metrics.ts";
import { createEdge, WAYS } from "./edge.ts";
import { open, request, rest, send } from "./raw.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.each(Object.entries(WAYS))("%s", (_, start) => {
  test.each([
    ["the public URL's Host", "mcp.example", 200],
    ["an allowed Host", "gateway.internal:8080", 200],
    ["loopback", null, 200],
    ["a pod's address", "10.1.2.3:8080", 200],
    ["a pod's address of IPv6", "[fd00::7]:8080", 200],
    ["a name that was rebound", "evil.example:8080", 403],
    ["an address within a name", "10.1.2.3.evil.example", 403],
    ["what only resolves like an address", "0x7f.1", 403],
    ["no Host", "", 403],
  ])("metrics asked of %s", async (_, host, status) => {
    const edge = createEdge();
    const { port, prefix, close } = await start(edge);
    closing.push(close);
    const headers = host === null ? [] : [["Host", host] as const];
    const get = (target: string) =>
      send(port, request(port, { method: "GET", target: `${prefix}${target}`, headers, body: "" }));
    const answer = await get("/metrics");
    expect(answer.status).toBe(status);
    expect(answer.body.includes("up 1")).toBe(status === 200);
    expect(edge.refused.map(({ code }) => code)).toEqual(status === 200 ? [] : ["host_refused"]);
    // What a probe asks is told to any.
    expect((await get("/healthz")).status).toBe(200);
    expect((await get("/readyz")).status).toBe(200);
  });
});

test("who asks for the metrics again and again has them rendered once in a moment", async () => {
  const metrics = createMetrics();
  let rendered = 0;
  metrics.sessions(() => ++rendered);
  const edge = createEdge({ metrics: metrics.text });
  const { port, close } = await edge.listen("127.0.0.1", 0);
  closing.push(() => close(0));
  const socket = await open(port);
  const answers = rest(socket);
  const asked = request(port, { method: "GET", target: "/metrics", body: "" });
  const last = request(port, {
    method: "GET",
    target: "/metrics",
    headers: [["Connection", "close"]],
    body: "",
  });
  const begun = performance.now();
  socket.write(Buffer.concat([...Array.from({ length: 299 }, () => asked), last]));
  expect((await answers).match(/^portcullis_sessions \d+$/gm)).toHaveLength(300);
  expect(rendered).toBeLessThanOrEqual(1 + (performance.now() - begun) / 250);
  const before = rendered;
  await new Promise((later) => setTimeout(later, 300));
  await send(port, asked);
  expect(rendered).toBe(before + 1);
});
