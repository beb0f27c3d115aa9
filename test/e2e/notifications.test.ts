import * as v2 from "@modelcontextprotocol/client";
import * as v1 from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { META } from "./raw-session.ts";
import { type Spy, serveSpy, text } from "./upstreams.ts";
import { OPEN, openSession, openWorld, until, type World } from "./world.ts";

let spy: Spy;
let world: World;
let token: string;

beforeAll(async () => {
  spy = await serveSpy({ call: () => text("done") });
  const upstreams = { spy: { url: spy.url, era: "legacy" } };
  world = await openWorld({
    config: { upstreams, servers: { main: { upstreams: ["spy"] } } },
    policies: OPEN,
  });
  token = await world.token("ann", "main");
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

interface Era {
  readonly headers: Readonly<Record<string, string>>;
  readonly meta: JsonObject;
}

const ERAS: readonly (readonly [string, () => Promise<Era>])[] = [
  [
    "legacy",
    async () => {
      const session = await openSession(world.url("main"), token);
      return { headers: { "mcp-session-id": session, "mcp-protocol-version": "2025-11-25" }, meta: {} };
    },
  ],
  [
    "modern",
    async () => ({
      headers: { "mcp-protocol-version": "2026-07-28" },
      meta: { _meta: { [`${META}protocolVersion`]: "2026-07-28", [`${META}clientCapabilities`]: {} } },
    }),
  ],
];

async function tell({ headers, meta }: Era, method: string, params: JsonObject) {
  const response = await fetch(world.url("main"), {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${token}`,
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", method, params: { ...params, ...meta } }),
  });
  return [response.status, await response.text()] as const;
}

test.each(ERAS)(
  "%s: a notification that nobody knows is taken without a word, goes nowhere, and is in the log",
  async (name, open) => {
    const era = await open();
    const before = spy.seen.length;
    expect(await tell(era, "notifications/made/up", { x: 1 })).toEqual([202, ""]);
    const found = await until("the record", async () =>
      (await world.decisions()).filter(({ method }) => method === "notifications/made/up").at(-1),
    );
    expect(found).toMatchObject({
      era: name,
      effect: "deny",
      code: "method_unknown",
      principal: { subject: "ann" },
    });
    expect(spy.seen.slice(before).map(({ method }) => method)).not.toContain("notifications/made/up");
  },
);

test.each(ERAS)(
  "%s: what is malformed, or asks for an effect without its answer, is refused by status",
  async (_, open) => {
    const era = await open();
    for (const [method, params] of [
      ["tools/call", { name: "echo", arguments: {} }],
      ["notifications/cancelled", { requestId: {} }],
      ["notifications/cancelled", []],
    ] as const) {
      const [status, body] = await tell(era, method, params as JsonObject);
      expect([method, status]).toEqual([method, 400]);
      expect(JSON.parse(body)).toMatchObject({ id: null, error: { code: expect.any(Number) } });
    }
  },
);

const INFO = { name: "a stock client", version: "1" };
const bearer = () => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } });

interface Client {
  notification(said: { method: string; params: JsonObject }): Promise<void>;
  listTools(): Promise<{ readonly tools: readonly unknown[] }>;
  close(): Promise<void>;
}

async function connectV1(): Promise<Client> {
  const client = new v1.Client(INFO);
  // Its declarations do not know exactOptionalPropertyTypes.
  await client.connect(new StreamableHTTPClientTransport(new URL(world.url("main")), bearer()) as never);
  return client as unknown as Client;
}

const connectV2 = (mode: "legacy" | { pin: string }) => async () => {
  const client = new v2.Client(INFO, { versionNegotiation: { mode } });
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(world.url("main")), bearer()));
  return client as unknown as Client;
};

test.each<[string, () => Promise<Client>]>([
  ["v1 (legacy)", connectV1],
  ["v2 (legacy)", connectV2("legacy")],
  ["v2 (modern)", connectV2({ pin: "2026-07-28" })],
])("a stock client goes on after a notification of its own: %s", async (_, connect) => {
  const client = await connect();
  await client.notification({ method: "notifications/made/up", params: {} });
  expect((await client.listTools()).tools.length).toBeGreaterThan(0);
  await client.close();
});
