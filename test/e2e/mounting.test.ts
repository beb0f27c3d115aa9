import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import express, { type Express } from "express";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cpuClock } from "../support/cpu.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import {
  ask,
  callTool,
  OPEN,
  openSession,
  openWorld,
  openWritten,
  STOCK_CLIENTS,
  until,
  type World,
  writeWorld,
} from "./world.ts";

const many = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    tool(`tool-${String(at).padStart(4, "0")}`, { name: { type: "string", description: "x".repeat(100) } }),
  );

let spies: Spy[];
let world: World;
const hosts: { close(): void; closeAllConnections(): void }[] = [];

beforeAll(async () => {
  spies = await Promise.all([
    serveSpy({ call: () => text("mounted") }),
    serveSpy({ tools: () => many(400) }),
    serveSpy({ tools: () => many(2100) }),
  ]);
  const [few, some, lots] = spies.map(({ url }) => ({ url, era: "legacy" }));
  world = await openWorld({
    config: {
      upstreams: { few: few ?? {}, some: some ?? {}, lots: lots ?? {} },
      servers: { few: { upstreams: ["few"] }, some: { upstreams: ["some"] }, lots: { upstreams: ["lots"] } },
    },
    policies: OPEN,
  });
});
afterAll(async () => {
  for (const host of hosts) {
    host.close();
    host.closeAllConnections();
  }
  await world.close();
  await Promise.all(spies.map((spy) => spy.close()));
});

async function serving(app: Express): Promise<string> {
  const server = createServer(app as never);
  hosts.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each(STOCK_CLIENTS)(
  "a %s client is served by the app inside another Express app, under a path too",
  async (_, connect) => {
    const host = express();
    host.get("/own", (_request, response) => void response.json({ own: true }));
    host.use("/guard", world.gateway.app as never);
    host.use(world.gateway.app as never);
    const origin = await serving(host);
    for (const base of [origin, `${origin}/guard`]) {
      const client = await connect(`${base}/mcp/few`, await world.token("ann", "few"));
      expect(await client.list()).toEqual(["echo"]);
      expect(await client.call("echo", { text: "x" })).toMatchObject(text("mounted"));
      await client.close();
    }
    expect(await (await fetch(`${origin}/own`)).json()).toEqual({ own: true });
    expect((await fetch(`${origin}/unknown`)).status).toBe(404);
  },
);

test("behind a host application's body parser it says clearly what is wrong", async () => {
  const host = express();
  host.use(express.json());
  host.use(world.gateway.app as never);
  const url = `${await serving(host)}/mcp/few`;
  const { status, body } = await callTool(
    url,
    "echo",
    { text: "x" },
    { token: await world.token("ann", "few") },
  );
  expect(status).toBe(500);
  expect(body.error).toMatchObject({
    message: "The host application read the request body before Portcullis could.",
    data: { code: "body_consumed" },
  });
  expect((await world.decisions()).at(-1)).toMatchObject({ effect: "deny", code: "body_consumed" });
});

test.each(STOCK_CLIENTS)("a %s client lists 400 tools at once", async (_, connect) => {
  const client = await connect(world.url("some"), await world.token("ann", "some"));
  const cost = cpuClock();
  const names = await client.list();
  // Loosely: the benchmark holds the budget.
  expect(cost()).toBeLessThan(2000);
  expect(names).toEqual(many(400).map(({ name }) => name));
  await client.close();
});

test.each(["legacy", "modern"] as const)(
  "more tools than fit on a page come page by page to a %s caller, each once",
  async (era) => {
    const token = await world.token("ann", "lots");
    const session = era === "legacy" ? { session: await openSession(world.url("lots"), token) } : {};
    const pages: string[][] = [];
    let cursor: string | undefined;
    do {
      const params = cursor === undefined ? {} : { cursor };
      const { body } = await ask(world.url("lots"), "tools/list", params, { token, era, ...session });
      const { tools, nextCursor } = body.result as unknown as {
        tools: { name: string }[];
        nextCursor?: string;
      };
      pages.push(tools.map(({ name }) => name));
      cursor = nextCursor;
    } while (cursor !== undefined);
    expect(pages.map(({ length }) => length)).toEqual([1000, 1000, 100]);
    expect(pages.flat()).toEqual(many(2100).map(({ name }) => name));
  },
);

test("a cursor of another list, or of nobody's making, is refused as malformed params", async () => {
  const token = await world.token("ann", "lots");
  const first = await ask(world.url("lots"), "tools/list", {}, { token });
  const { nextCursor = "" } = first.body.result as { nextCursor?: string };
  const other = await world.token("ann", "some");
  const moved = Buffer.from(
    JSON.stringify({ ...JSON.parse(Buffer.from(nextCursor, "base64url").toString()), at: -5 }),
  );
  for (const answer of [
    await ask(world.url("some"), "tools/list", { cursor: nextCursor }, { token: other }),
    await ask(world.url("lots"), "tools/list", { cursor: "nonsense" }, { token }),
    await ask(world.url("lots"), "tools/list", { cursor: moved.toString("base64url") }, { token }),
  ]) {
    expect([answer.status, answer.body.error?.code, answer.body.error?.data.code]).toEqual([
      400,
      -32602,
      "params_invalid",
    ]);
  }
});

test("a gateway that could not be made leaves nothing open: the next attempt succeeds", async () => {
  const config = {
    upstreams: { few: { url: spies[0]?.url ?? "", era: "legacy" } },
    servers: { few: { upstreams: ["few"] } },
  };
  const options = {
    config: { ...config, pins: { path: "./pins.json" } },
    policies: OPEN,
    files: { "pins.json": "{" },
  };
  const written = await writeWorld(options);
  await expect(openWritten(written, options)).rejects.toThrow("pins");
  await rm(join(written.directory, "pins.json"));
  const second = await openWritten(written, options);
  const { body } = await callTool(second.url("few"), "echo", {}, { token: await second.token("ann", "few") });
  expect(body.result).toBeDefined();
  await second.close();
});

test.each(["legacy", "modern"] as const)(
  "a mounted gateway that is closed cuts and records its %s calls, and forwards no more",
  async (era) => {
    const spy = await serveSpy({ call: () => undefined });
    const options = {
      config: {
        upstreams: { spy: { url: spy.url, era: "legacy" } },
        servers: { main: { upstreams: ["spy"] } },
      },
      policies: OPEN,
    };
    const written = await writeWorld(options);
    const mounted = await openWritten(written, options);
    const host = express();
    host.use(mounted.gateway.app as never);
    const url = `${await serving(host)}/mcp/main`;
    const token = await mounted.token("ann", "main");
    const session = era === "legacy" ? { session: await openSession(url, token) } : {};
    const call = () => callTool(url, "echo", {}, { token, era, ...session });
    const held = call();
    await until("the call upstream", () => spy.calls().length === 1);
    await mounted.gateway.close();
    expect((await held).body.error).toBeDefined();
    const [decision, outcome] = (await mounted.records()).slice(-2);
    expect(decision).toMatchObject({ phase: "decision", effect: "allow" });
    expect(outcome).toMatchObject({ phase: "outcome", decision: decision?.id, is_error: true });
    expect(["cancelled", "upstream_unavailable"]).toContain((outcome as { status: string }).status);
    const { status } = await call();
    expect(status).toBeGreaterThanOrEqual(400);
    expect(spy.calls().length).toBe(1);
    await mounted.close();
    await spy.close();
  },
);
