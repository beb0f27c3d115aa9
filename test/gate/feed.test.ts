import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Identity, ListenRequest } from "../../src/domain.ts";
import { type FeedOptions, openFeed } from "../../src/gate/feed.ts";
import type { Hearer } from "../../src/gate/hearer.ts";
import type { Rooms } from "../../src/gate/rooms.ts";
import { type TaskEntry, toolOf } from "../../src/gate/task-store.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

const ANN = plainPrincipal({ kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" });
const TASK: TaskEntry = { era: "legacy", upstream: "crm", tool: "run", arguments: { a: 1 }, sessionKey: "" };
const WANTS = { lists: new Set<never>(), uris: new Set<string>(), logLevel: undefined };

interface Asked {
  /** Targets that are closed, by kind or name. */
  readonly closed?: readonly string[];
  /** Credential sources by a resource's URI. */
  readonly sources?: Readonly<Record<string, string>>;
  readonly task?: TaskEntry | Promise<TaskEntry>;
  /** The upstream whose tool `run` is now. */
  readonly now?: string;
  readonly ownsSessions?: boolean;
  readonly logLevel?: string;
  /** Leases after the first one cannot be had. */
  readonly isRefused?: boolean;
}

/** What one legacy client hears of `crm`, and what of it `crm` is listened to for. */
async function heardOf({ closed = [], sources = {}, now = "crm", ...asked }: Asked) {
  const listening: ListenRequest[] = [];
  const told: string[] = [];
  const released: string[] = [];
  let leases = 0;
  const ends: AbortController[] = [];
  const target = (kind: string, name: string, upstream = "crm") => ({ upstream, kind, name });
  const capabilityOf = ({ kind, name }: { kind: string; name: string }) => {
    const open = !closed.includes(kind) && !closed.includes(name);
    const source = sources[name];
    const grant = { layer: "platform", interaction: [], credential: source ? { source } : null };
    return {
      listed: open,
      admits: () => open,
      decide: (args: object) =>
        open
          ? { effect: "allow", grant, arguments: args, requirements: {}, reasons: [] }
          : { effect: "deny", code: "not_found", grant: null, requirements: {}, reasons: [] },
    };
  };
  const view = {
    upstreams: new Map([["crm", { era: "legacy", capabilities: { tasks: {} } }]]),
    own: (upstream: string, kind: string) => target(kind, "", upstream),
    find: () => target("tool", "run", now),
    resource: (uri: string) => ({
      upstream: "crm",
      uri,
      matches: [{ target: target("resource", uri), arguments: {} }],
    }),
  };
  const upstream = {
    listen: async (request: ListenRequest) => void listening.push(request),
    release: async (key: string) => void released.push(key),
  };
  const hold = () => {
    leases += 1;
    return () => {
      leases -= 1;
    };
  };
  const rooms = {
    policies: { current: () => ({ revision: { platform: "p", tenant: "" }, requirements: () => ({}) }) },
    clock: () => 0,
    catalog: { view: () => view },
    capabilities: { of: (_: unknown, __: unknown, targets: never[]) => targets.map(capabilityOf) },
    credentials: {
      async obtain() {
        if (asked.isRefused === true && ends.length > 0) throw new PortcullisError("credential_refused");
        const end = new AbortController();
        ends.push(end);
        return { expires: Infinity, headers: new Map(), hold, ended: end.signal };
      },
    },
    upstreams: new Map([["crm", upstream]]),
    tasks: { find: async () => asked.task },
    onChange: () => () => {},
    log: { debug() {}, info() {}, warn() {}, error() {} },
  } as unknown as Rooms;
  const hearer = {
    identity: { principal: ANN, tenant: { id: "acme" } } as unknown as Identity,
    ...{ server: "main", sessionKey: "its own", ownsSessions: asked.ownsSessions ?? false, decisionId: "d" },
    clientCapabilities: { elicitation: {} },
  } as unknown as Hearer;
  const options: FeedOptions = {
    ...{ hearer, era: "legacy" },
    deliver: (method) => void told.push(method),
    ask: async () => ({ kind: "result", text: "{}" }),
  };
  const feed = openFeed(rooms, options);
  await feed.want({ ...WANTS, uris: new Set(Object.keys(sources)), logLevel: asked.logLevel });
  return { feed, listening, told, released, leases: () => leases, ends };
}

test.each<[string, Asked, boolean]>([
  ["its maker's call would be allowed now", { task: TASK }, true],
  ["its maker's call would be refused now", { task: TASK, closed: ["run"] }, false],
  ["nobody here made it", {}, false],
  ["another server made it", { task: { ...TASK, upstream: "billing" }, now: "billing" }, false],
  ["its tool is another server's by now", { task: TASK, now: "billing" }, false],
  ["it was made in the words of the other era", { task: { ...TASK, era: "modern" } }, false],
])("what becomes of a task of which %s is told: %#", async (_, asked, isTold) => {
  const { listening, told } = await heardOf(asked);
  listening[0]?.onNotification("notifications/tasks/status", '{"taskId":"t","status":"working"}');
  await turn();
  expect(told).toEqual(isTold ? ["notifications/tasks/status"] : []);
});

test("a task is followed on the tool that it was called on, in the words that it was called in, or not at all", () => {
  const view = (upstream: string) => ({ find: () => ({ upstream }) }) as never;
  expect(toolOf(TASK, "legacy", view("crm"))).toBeDefined();
  expect(toolOf(TASK, "modern", view("crm"))).toBeUndefined();
  expect(toolOf(TASK, "legacy", view("billing"))).toBeUndefined();
  expect(toolOf(TASK, "legacy", { find: () => undefined })).toBeUndefined();
});

test("one credential listens, and only for what is read with it or with none", async () => {
  const { listening } = await heardOf({
    sources: { "doc://1": "a", "doc://2": "b", "doc://3": "", "doc://4": "a" },
  });
  expect(listening.map(({ uris }) => uris)).toEqual([["doc://1", "doc://3", "doc://4"]]);
});

test("a server that may not be heard of itself is asked for no log, and nobody answers it", async () => {
  const open = await heardOf({ sources: { "doc://1": "" }, logLevel: "error" });
  expect(open.listening).toMatchObject([{ logLevel: "error", onQuestion: expect.any(Function) }]);
  const { listening } = await heardOf({ sources: { "doc://1": "" }, logLevel: "error", closed: ["server"] });
  expect(listening.map((one) => [one.uris, one.logLevel, one.onQuestion])).toEqual([
    [["doc://1"], undefined, undefined],
  ]);
  expect((await heardOf({ closed: ["server"] })).listening).toEqual([]);
});

test.each([true, false])(
  "a client that leaves is listened for no more, and takes upstream sessions along that are its own: %s",
  async (ownsSessions) => {
    const { feed, listening, told, released, leases } = await heardOf({ ownsSessions, logLevel: "debug" });
    expect([listening[0]?.signal.aborted, leases()]).toEqual([false, 1]);
    feed.close();
    await turn();
    expect([listening[0]?.signal.aborted, leases()]).toEqual([true, 0]);
    expect(released).toEqual(ownsSessions ? ["its own"] : []);
    listening[0]?.onNotification("notifications/message", '{"level":"error"}');
    expect(told).toEqual([]);
  },
);

test.each([true, false])(
  "nobody listens on with a lease that was ended early, whether another cannot be had: %s",
  async (isRefused) => {
    const { feed, listening, leases, ends } = await heardOf({ logLevel: "debug", isRefused });
    ends[0]?.abort();
    await expect.poll(() => listening[0]?.signal.aborted).toBe(true);
    expect([listening.length, leases()]).toEqual(isRefused ? [1, 0] : [2, 1]);
    expect(listening.at(-1)?.signal.aborted).toBe(isRefused);
    feed.close();
  },
);

test("tasks that are told of faster than they can be looked up take 4 MiB, and the rest is not told", async () => {
  let answer: (task: TaskEntry) => void = () => {};
  const task = new Promise<TaskEntry>((resolve) => {
    answer = resolve;
  });
  const { listening, told } = await heardOf({ task });
  const params = JSON.stringify({ taskId: "t", status: "working", statusMessage: "x".repeat(1000) });
  for (let at = 0; at < 10_000; at += 1) listening[0]?.onNotification("notifications/tasks/status", params);
  answer(TASK);
  await expect.poll(() => told.length).toBeGreaterThan(3000);
  await turn();
  expect(told.length).toBeLessThan(4500);
});
