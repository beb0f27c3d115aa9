import { Client as ModernClient } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, expect, test } from "vitest";
import { closeAll, serveEverything, serveModern } from "../upstream/servers.ts";
import { bridgeTo, serveLines } from "./support.ts";

const INFO = { name: "a developer's client", version: "1" };
afterEach(closeAll);

/** Newline-delimited JSON either way: a client's end of it is a server's. */
function transportOf({ input, output }: ReturnType<typeof serveLines>): StdioServerTransport {
  return new StdioServerTransport(output, input);
}

test("a legacy client has its session without knowing: it lists, calls and is asked", async () => {
  const { url } = await serveEverything();
  const verbs: string[] = [];
  const handle = bridgeTo(url);
  const local = serveLines((exchange) => {
    verbs.push(exchange.verb);
    return handle(exchange);
  });
  const client = new LegacyClient(INFO, { capabilities: { sampling: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    role: "assistant",
    model: "none",
    content: { type: "text", text: "said by the client" },
  }));
  await client.connect(transportOf(local));
  const echoed = await client.callTool({ name: "echo", arguments: { message: "hello" } });
  expect(echoed.content).toEqual([{ type: "text", text: "Echo: hello" }]);
  // Sent on the GET stream.
  await expect
    .poll(async () => (await client.listTools()).tools.map(({ name }) => name))
    .toContain("trigger-sampling-request");
  const sampled = await client.callTool({ name: "trigger-sampling-request", arguments: { prompt: "hello" } });
  expect(JSON.stringify(sampled)).toContain("said by the client");
  const progress: number[] = [];
  const slow = { name: "trigger-long-running-operation", arguments: { duration: 0.2, steps: 2 } };
  await client.callTool(slow, undefined, { onprogress: (one) => progress.push(one.progress) });
  expect(progress).toContain(1);
  local.input.end();
  await local.done;
  expect([verbs.includes("GET"), verbs.at(-1)]).toEqual([true, "DELETE"]);
});

test("a modern client is understood by a server that checks every header against the body", async () => {
  const { url, waiting, cancelled } = await serveModern();
  const local = serveLines(bridgeTo(url));
  const client = new ModernClient(INFO, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
  await client.connect(transportOf(local));
  const text = "grüße =?base64?YQ==?=";
  expect(await client.callTool({ name: "echo", arguments: { text } })).toMatchObject({
    content: [{ type: "text", text }],
  });
  const abort = new AbortController();
  const wait = client.callTool({ name: "wait", arguments: {} }, { signal: abort.signal });
  await waiting;
  abort.abort();
  await expect(wait).rejects.toThrow();
  await cancelled;
  local.input.end();
  await local.done;
});
