import { afterEach, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { serveStateful } from "./legacy-server.ts";
import { calling, closeAll, httpUpstream, serveRaw } from "./servers.ts";

afterEach(closeAll);
const seal = createSeal(new Secret("k".repeat(32)));

function replicas(url: string) {
  const shared = createMemoryStore({ clock: systemClock });
  const options = { shared: { store: shared, seal } };
  return { shared, a: httpUpstream(url, options), b: httpUpstream(url, options) };
}
const sessionsOf = (server: Awaited<ReturnType<typeof serveStateful>>) =>
  server.seen
    .filter(({ method }) => method === "tools/call")
    .map(({ request }) => request.headers["mcp-session-id"]);

test("another replica goes on with an owner's session, and with no other owner's", async () => {
  const server = await serveStateful();
  const { a, b } = replicas(server.url);
  for (const upstream of [a, b, a]) await upstream.request(calling("echo", {}));
  await b.request(calling("echo", {}, { sessionKey: "bob" }));
  const [first, ...rest] = sessionsOf(server);
  expect(rest.slice(0, 2)).toEqual([first, first]);
  expect(rest[2]).not.toBe(first);
});

test("a question in a shared session reaches the replica whose call it is, on the session's stream too", async () => {
  const server = await serveStateful();
  const { a, b } = replicas(server.url);
  const text = '{"action":"accept","content":{"name":"ann"}}';
  const onQuestion = async () => ({ kind: "result", text }) as const;
  const more = { clientCapabilities: { elicitation: {} }, isAskable: true, onQuestion };
  for (const upstream of [a, b, a])
    for (const tool of ["elicit", "elicitAside"])
      expect(await upstream.request(calling(tool, {}, more))).toMatchObject({ kind: "result" });
  expect(new Set(sessionsOf(server)).size).toBe(1);
});

test("a session that was lost is forgotten by all, and opened once more", async () => {
  const server = await serveStateful();
  const { a, b } = replicas(server.url);
  for (const upstream of [a, b]) await upstream.request(calling("echo", {}));
  server.forgetAll();
  for (const upstream of [a, b, a]) await upstream.request(calling("echo", {}));
  expect(new Set(sessionsOf(server).slice(-2)).size).toBe(1);
});

test("a call that learns late of a lost session takes nothing from the one that took its place", async () => {
  const late: (() => void)[] = [];
  const opened: string[] = [];
  const { url } = await serveRaw(({ method, headers }, response, body) => {
    if (method !== "POST") return void response.writeHead(405).end();
    const message = JSON.parse(body);
    const refuse = () => void response.writeHead(404).end();
    if (message.method === "initialize") response.setHeader("mcp-session-id", `${opened.push("")}`);
    else if (message.id === undefined) return void response.writeHead(202).end();
    else if (headers["mcp-session-id"] === "2" && late.push(refuse)) return;
    const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: {}, content: [] };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
  });
  const store = createMemoryStore({ clock: systemClock });
  const sets = new Set<string>();
  const join: SharedStore["join"] = (set, ...more) => {
    sets.add(set);
    return store.join(set, ...more);
  };
  const upstream = httpUpstream(url, { era: "legacy", shared: { store: { ...store, join }, seal } });
  const calls = [1, 2].map(() => upstream.request(calling("any", {})));
  await expect.poll(() => late.length).toBe(2);
  late[0]?.();
  await calls[0];
  late[1]?.();
  await calls[1];
  expect(opened).toHaveLength(3);
  for (const set of sets) expect(await store.members(set)).toHaveLength(1);
});

test("the owner's end is the session's, whichever replica hears of it; a replica's end is not", async () => {
  const server = await serveStateful();
  const { a, b } = replicas(server.url);
  await a.request(calling("echo", {}));
  const [session = ""] = sessionsOf(server) as string[];
  await a.close();
  expect(server.sessions.has(session)).toBe(true);
  await b.release("ann");
  expect(server.sessions.has(session)).toBe(false);
});

test("once every replica heard of the owner's end, none is said to have the session", async () => {
  const server = await serveStateful();
  const { shared, a, b } = replicas(server.url);
  const joined = new Set<string>();
  const spied: SharedStore = {
    ...shared,
    join: (set, ...more) => {
      joined.add(set);
      return shared.join(set, ...more);
    },
  };
  const c = httpUpstream(server.url, { shared: { store: spied, seal } });
  for (const upstream of [a, b, c]) await upstream.request(calling("echo", {}));
  for (const upstream of [a, b, c]) await upstream.release("ann");
  expect(joined.size).toBe(1);
  for (const set of joined) expect(await shared.members(set)).toEqual([]);
});

test("what is stored is sealed, and nothing under another's key", async () => {
  const server = await serveStateful();
  const stored = new Map<string, string>();
  const { shared, a } = replicas(server.url);
  const spied: SharedStore = {
    ...shared,
    set: async (key, value, ttl) => {
      stored.set(key, value);
      await shared.set(key, value, ttl);
    },
  };
  const upstream = httpUpstream(server.url, { shared: { store: spied, seal } });
  await upstream.request(calling("echo", {}));
  const [[key, value] = ["", ""]] = stored;
  expect(key).toMatch(/^upstream:up:[0-9a-f]{64}$/);
  expect(value).not.toContain(sessionsOf(server)[0]);
  await upstream.request(calling("echo", {}, { sessionKey: "bob" }));
  const [, [bobs] = [""]] = stored;
  await shared.set(bobs ?? "", value, 60_000);
  await a.request(calling("echo", {}, { sessionKey: "bob" }));
  const [anns, , third] = sessionsOf(server);
  expect(third).not.toBe(anns);
});

test("a store that fails costs a session, never a call", async () => {
  const server = await serveStateful();
  const broken = new Proxy({} as SharedStore, {
    get: () => () => Promise.reject(new PortcullisError("store_unavailable")),
  });
  const upstream = httpUpstream(server.url, { shared: { store: broken, seal } });
  expect(await upstream.request(calling("echo", {}))).toMatchObject({ kind: "result" });
  await upstream.release("ann");
});
