import { expect, test } from "vitest";
import type { Ask } from "../../src/gate/ask.ts";
import { call } from "../../src/gate/call.ts";
import { complete } from "../../src/gate/complete.ts";
import { get } from "../../src/gate/get.ts";
import { list } from "../../src/gate/list.ts";
import { listen } from "../../src/gate/listen.ts";
import { read } from "../../src/gate/read.ts";
import type { Rooms } from "../../src/gate/rooms.ts";
import { discover, initialize } from "../../src/gate/session.ts";
import { setLevel, subscribe, unsubscribe } from "../../src/gate/subscribe.ts";
import { listTasks, task } from "../../src/gate/tasks.ts";
import { Cancellation } from "../../src/lib/cancellation.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

const grant = { layer: "platform", interaction: [], credential: null };
const target = {
  upstream: "crm",
  kind: "tool",
  name: "x",
  exposedName: "x",
  digest: "d",
  definition: new Map(),
};
const allowed = (args: object) => ({
  effect: "allow",
  grant,
  arguments: args,
  requirements: {},
  reasons: [],
});
const capability = { listed: true, admits: () => true, decide: allowed, decideBegun: allowed };

const principal = plainPrincipal({ kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" });

/** Rooms where all is allowed and nothing can be recorded, and what they were asked to do all the same. */
function unrecorded() {
  const done: string[] = [];
  const does = (what: string) => async () => void done.push(what);
  const view = {
    upstreams: new Map([["crm", { era: "legacy", capabilities: {} }]]),
    own: () => target,
    of: () => [target],
    find: () => target,
    resource: (uri: string) => ({ upstream: "crm", uri, matches: [{ target, arguments: {} }] }),
    exposeUri: (_: string, uri: string) => uri,
  };
  const entry = { era: "legacy", upstream: "crm", tool: "x", arguments: {}, sessionKey: "s" };
  const refuse = () => Promise.reject(new PortcullisError("audit_unavailable"));
  const rooms = {
    catalog: { view: () => view },
    capabilities: {
      of: (_: unknown, __: unknown, targets: readonly unknown[]) => targets.map(() => capability),
    },
    decisions: { newId: () => "id", decision: refuse, outcome: does("outcome") },
    metrics: { decided() {}, forwarded() {} },
    limits: { page: 10 },
    tasks: { find: async () => entry, all: async () => new Map([["t", entry]]) },
    sessions: {
      create: async () => ({ id: "s", principalKey: "p", server: "main" }),
      delete: async () => true,
      update: does("change"),
    },
    streams: { listen: () => () => {} },
    credentials: { obtain: does("lease") },
    upstreams: new Map([["crm", { request: does("request"), listen: does("listen") }]]),
    servers: new Map([["main", { title: "", instructions: "" }]]),
    gatewayInfo: {},
    clock: () => 0,
  } as unknown as Rooms;
  const says = (what: string) => () => done.push(what);
  const answer = {
    notify: says("notify"),
    result: says("result"),
    request: says("request"),
    error: says("error"),
  };
  const askFor = (method: string, name: string, params: JsonObject) =>
    ({
      seen: { server: "main", clientIp: "", now: 0, traceId: "" },
      message: { kind: "request", era: "legacy", id: 1, method, name, params },
      identity: {
        principal,
        expires: 9e9,
      },
      policy: { requirements: () => ({}), revision: {} },
      context: { principal },
      session: { id: "s" },
      principalKey: '["i","s","t"]',
      header: () => undefined,
      signal: new Cancellation(),
      rest() {},
      answer,
    }) as unknown as Ask;
  return { rooms, done, askFor };
}

const PROMPT = { ref: { type: "ref/prompt", name: "x" }, argument: { name: "a", value: "" } };

test.each<[string, (ask: Ask, rooms: Rooms) => Promise<unknown>, string, JsonObject]>([
  ["tools/call", call, "x", {}],
  ["prompts/get", get, "x", {}],
  ["resources/read", read, "doc://x", {}],
  ["resources/subscribe", subscribe, "doc://x", {}],
  ["resources/unsubscribe", unsubscribe, "doc://x", {}],
  ["completion/complete", complete, "", PROMPT],
  ["tasks/get", task, "t", {}],
  ["tasks/cancel", task, "t", {}],
  ["tasks/list", listTasks, "", {}],
  ["tools/list", list("tool"), "", {}],
  ["prompts/list", list("prompt"), "", {}],
  ["logging/setLevel", setLevel, "", { level: "error" }],
  ["subscriptions/listen", listen, "", { notifications: {} }],
  ["initialize", initialize, "", { protocolVersion: "2025-11-25" }],
  ["server/discover", discover, "", {}],
])("%s that cannot be recorded does nothing and says nothing", async (method, verb, name, params) => {
  const { rooms, done, askFor } = unrecorded();
  await expect(verb(askFor(method, name, params), rooms)).rejects.toMatchObject({
    code: "audit_unavailable",
  });
  expect(done).toEqual([]);
});
