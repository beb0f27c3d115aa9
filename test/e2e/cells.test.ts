import { resolve } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Served, serveEverything } from "../upstream/servers.ts";
import { type Spy, serveModern, serveSpy, text } from "./upstreams.ts";
import {
  callTool,
  connectModern,
  connectV1,
  OFFICIAL,
  OPEN,
  openSession,
  openWorld,
  ROOT,
  STOCK_CLIENTS,
  type StockClient,
  until,
  type World,
} from "./world.ts";

const EVERYTHING = resolve(OFFICIAL, "server-everything/dist/index.js");
const WRITTEN_OUT = resolve(ROOT, "test/e2e/stdio-upstream.mjs");
let world: World;
let everything: Served;
let modern: Awaited<ReturnType<typeof serveModern>>;
let spy: Spy;
/** The upstreams themselves, without the gateway. */
const direct: Record<string, StockClient> = {};

beforeAll(async () => {
  [everything, modern, spy] = await Promise.all([
    serveEverything(),
    serveModern(),
    serveSpy({ call: ({ params }) => (params.name === "echo" ? undefined : text("")) }),
  ]);
  world = await openWorld({
    config: {
      upstreams: {
        everything: { url: everything.url },
        modern: { url: modern.url },
        child: { command: ["node", EVERYTHING, "stdio"] },
        spy: { url: spy.url, era: "legacy" },
        written: { command: ["node", WRITTEN_OUT] },
      },
      servers: Object.fromEntries(
        ["everything", "modern", "child", "spy", "written"].map((name) => [name, { upstreams: [name] }]),
      ),
    },
    policies: OPEN,
  });
  direct.everything = await connectV1(everything.url);
  direct.modern = await connectModern(modern.url);
  direct.child = await overStdio(EVERYTHING, "stdio");
});
afterAll(async () => {
  for (const client of Object.values(direct)) await client.close();
  await world.close();
  await Promise.all([everything.close(), modern.close(), spy.close()]);
});

async function overStdio(...args: string[]): Promise<StockClient> {
  const client = new Client({ name: "direct", version: "1" });
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: "ignore" }));
  return {
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args) => client.callTool({ name, arguments: args }) as unknown as Promise<JsonObject>,
    serverInfo: () => client.getServerVersion(),
    close: () => client.close(),
  };
}

const UPSTREAMS = [
  ["everything", "legacy HTTP", "get-structured-content", { location: "Chicago" }],
  ["modern", "modern HTTP", "echo", { text: 'line\n"two" \u2028' }],
  ["child", "stdio", "get-structured-content", { location: "New York" }],
] as const;
const CELLS = STOCK_CLIENTS.flatMap(([client, connect]) =>
  UPSTREAMS.map((upstream) => [client, ...upstream, connect] as const),
);

/** What belongs to a result and not to the era it travelled in. */
function essence({ content, structuredContent, isError, _meta }: JsonObject) {
  const { "io.modelcontextprotocol/serverInfo": _, ...meta } = (_meta ?? {}) as JsonObject;
  return { content, structuredContent, isError, meta };
}

test.each(CELLS)(
  "a %s client of %s (%s) sees the upstream's tools, results and name as they are",
  async (_client, upstream, _transport, name, args, connect) => {
    const client = await connect(world.url(upstream), await world.token("ann", upstream));
    const own = direct[upstream] as StockClient;
    try {
      // The upstream shows some tools only to clients with more capabilities; the gateway has none.
      expect(new Set(await client.list())).toEqual(new Set(await own.list()));
      expect(essence(await client.call(name, args))).toEqual(essence(await own.call(name, args)));
      expect(client.serverInfo()).toEqual(own.serverInfo());
    } finally {
      await client.close();
    }
  },
);

const STEPS = {
  everything: ["trigger-long-running-operation", { duration: 0.1, steps: 2 }],
  modern: ["steps", {}],
  child: ["trigger-long-running-operation", { duration: 0.1, steps: 2 }],
} as const;

test.each(CELLS)(
  "progress of %s on %s (%s) arrives under the caller's own token",
  async (_client, upstream, _transport, _name, _args, connect) => {
    const client = await connect(world.url(upstream), await world.token("ann", upstream));
    const heard: number[] = [];
    try {
      const [name, args] = STEPS[upstream];
      await client.call(name, args, { onprogress: ({ progress }) => void heard.push(progress) });
      // The last progress and the result may cross inside the client.
      await until("progress", () => heard.length > 0 && heard.length <= 2);
      expect(heard[0]).toBe(1);
    } finally {
      await client.close();
    }
  },
);

test.each(["legacy", "modern"] as const)(
  "a %s caller's progress token comes back as it was sent",
  async (era) => {
    const url = world.url("modern");
    const token = await world.token("ann", "modern");
    const session = era === "legacy" ? { session: await openSession(url, token) } : {};
    const meta = { _meta: { progressToken: "mine" } };
    const { before, body } = await callTool(url, "steps", {}, { token, era, ...session }, meta);
    expect(before.map(({ params }) => params)).toEqual([
      { progressToken: "mine", progress: 1, total: 2 },
      { progressToken: "mine", progress: 2, total: 2 },
    ]);
    expect(body.result).toMatchObject({ content: [{ text: "done" }] });
  },
);

test.each(STOCK_CLIENTS)(
  "a call that a %s client cancels is cancelled at a legacy upstream",
  async (_, connect) => {
    const client = await connect(world.url("spy"), await world.token("ann", "spy"));
    const before = spy.seen.length;
    const since = () => spy.seen.slice(before);
    const stop = new AbortController();
    try {
      const called = client.call("echo", { text: "x" }, { signal: stop.signal });
      const arrival = await until("the call upstream", () =>
        since().find(({ method }) => method === "tools/call"),
      );
      stop.abort();
      await expect(called).rejects.toThrow();
      const cancelled = await until("cancelled upstream", () =>
        since().find(({ method }) => method === "notifications/cancelled"),
      );
      expect(cancelled.params.requestId).toBe(arrival.id);
      expect(cancelled.headers["mcp-session-id"]).toBe(arrival.headers["mcp-session-id"]);
      await until("the outcome", async () => (await world.outcomes()).at(-1)?.status === "cancelled");
    } finally {
      await client.close();
    }
  },
);

test.each(STOCK_CLIENTS)(
  "a call that a %s client cancels is cut at a modern upstream",
  async (_, connect) => {
    const client = await connect(world.url("modern"), await world.token("ann", "modern"));
    const before = { ...modern.state };
    const stop = new AbortController();
    try {
      const called = client.call("wait", {}, { signal: stop.signal });
      await until("the call upstream", () => modern.state.waiting > before.waiting);
      stop.abort();
      await expect(called).rejects.toThrow();
      await until("cancelled upstream", () => modern.state.cancelled > before.cancelled);
    } finally {
      await client.close();
    }
  },
);

test.each(STOCK_CLIENTS)(
  "a call that a %s client cancels is cancelled at a stdio upstream",
  async (_, connect) => {
    const client = await connect(world.url("written"), await world.token("ann", "written"));
    const stop = new AbortController();
    const seen = async () => {
      const { content } = await client.call("seen", {});
      return JSON.parse((content as [{ text: string }])[0].text) as {
        id?: number;
        method: string;
        params: JsonObject;
      }[];
    };
    const before = (await seen()).length;
    try {
      const called = client.call("wait", {}, { signal: stop.signal });
      const isWait = ({ params }: { params: JsonObject }) => params?.name === "wait";
      const sent = await until("the call upstream", async () => (await seen()).slice(before).find(isWait));
      stop.abort();
      await expect(called).rejects.toThrow();
      const isCancel = ({ method }: { method: string }) => method === "notifications/cancelled";
      const cancelled = await until("cancelled upstream", async () =>
        (await seen()).slice(before).find(isCancel),
      );
      expect(cancelled.params.requestId).toBe(sent.id);
    } finally {
      await client.close();
    }
  },
);
