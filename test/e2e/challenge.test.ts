import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { methodTable } from "../../src/protocol/methods.ts";
import { META } from "./raw-session.ts";
import { type Spy, serveSpy } from "./upstreams.ts";
import { OPEN, openSession, openWorld, type World } from "./world.ts";

let spy: Spy;
let world: World;
let session: string;

beforeAll(async () => {
  spy = await serveSpy({});
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
    },
    policies: OPEN,
  });
  session = await openSession(world.url("main"), await world.token("ann", "main"));
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const METHODS = [...methodTable().map(({ method }) => method), "tools/nope", "", "x".repeat(300)];
const MODERN = { [`${META}protocolVersion`]: "2026-07-28", [`${META}clientCapabilities`]: {} };

/** Each method as a request, as a notification, and with params that fit no method; and what is no message of either era. */
function* bodies(): Generator<readonly [body: unknown, headers: Record<string, string>]> {
  for (const method of METHODS)
    for (const [params, headers] of [
      [{}, {}],
      [{ name: "echo", uri: "note://a", arguments: {} }, { "mcp-session-id": session }],
      [{ name: 7, task: 7, _meta: 7 }, { "mcp-protocol-version": "2025-11-25" }],
      [{ _meta: MODERN }, { "mcp-protocol-version": "2026-07-28", "mcp-method": method.slice(0, 64) }],
      [{ _meta: MODERN, name: "echo" }, { "mcp-protocol-version": "2025-06-18" }],
    ] as const) {
      yield [{ jsonrpc: "2.0", id: 1, method, params }, headers];
      yield [{ jsonrpc: "2.0", method, params }, headers];
    }
  yield [{ jsonrpc: "2.0", id: 1, result: {} }, { "mcp-session-id": session }];
  for (const none of [[], 7, null, {}, { jsonrpc: "1.0", id: 1, method: "ping" }, { jsonrpc: "2.0", id: {} }])
    yield [none, {}];
}

const ACCEPT = { accept: "application/json, text/event-stream", "content-type": "application/json" };

/** What a stranger hears, without the id that it sent itself. */
async function heard(init: RequestInit): Promise<unknown> {
  const response = await fetch(world.url("main"), init);
  const { id: _, ...said } = (await response.json()) as JsonObject;
  return [response.status, response.headers.get("www-authenticate"), said];
}

describe.each<[string, Record<string, string>, string]>([
  ["no token", {}, "token_missing"],
  ["a bad token", { authorization: "Bearer nonsense" }, "token_invalid"],
])("with %s", (_, authorization, code) => {
  test("whatever is asked, the answer is the same 401 with a challenge, and says nothing else", async () => {
    const headers = { ...ACCEPT, ...authorization };
    const usual = await heard({
      method: "POST",
      headers,
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
    });
    expect(usual).toMatchObject([
      401,
      expect.stringMatching(/^Bearer .*resource_metadata="/),
      { error: { data: { code } } },
    ]);
    for (const [body, more] of bodies())
      expect
        .soft(
          await heard({ method: "POST", headers: { ...headers, ...more }, body: JSON.stringify(body) }),
          JSON.stringify([body, more]).slice(0, 200),
        )
        .toEqual(usual);
    for (const method of ["GET", "DELETE"])
      for (const more of [{}, { "mcp-session-id": session }, { "mcp-session-id": "x", "last-event-id": "y" }])
        expect.soft(await heard({ method, headers: { ...headers, ...more } }), method).toEqual(usual);
    expect(spy.calls()).toEqual([]);
  });
});
