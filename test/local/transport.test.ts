import { expect, test } from "vitest";
import type { Exchange } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { errorText } from "../../src/lib/rpc.ts";
import { serveLines } from "./support.ts";

const MODERN = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
const INITIALIZE = request(0, "initialize", { protocolVersion: "2025-11-25" });
const INITIALIZED = { jsonrpc: "2.0", method: "notifications/initialized" };

function request(id: number, method: string, params: JsonObject = {}) {
  return { jsonrpc: "2.0", id, method, params };
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly requestId?: number; readonly _meta?: object };
}

/** A gate that has sessions, knows a few methods, and notes what it was sent. */
function createGate() {
  const seen: { verb: string; method: string; session: string | undefined; version: string | undefined }[] =
    [];
  const exchanges = new Map<string, Exchange>();
  const sessions = new Set<string>();
  let opened = 0;

  async function handle(exchange: Exchange): Promise<void> {
    const { verb, header, reply } = exchange;
    const { id = 0, method = "", params } = (exchange.body ?? {}) as Message;
    const session = header("mcp-session-id");
    seen.push({ verb, method, session, version: header("mcp-protocol-version") });
    exchanges.set(verb === "POST" ? method : verb, exchange);
    const answer = (result: JsonObject, headers = {}) =>
      reply.json(200, JSON.stringify({ jsonrpc: "2.0", id, result }), headers);
    if (method === "initialize") {
      sessions.add(`s${++opened}`);
      return answer({ protocolVersion: "2025-06-18" }, { "Mcp-Session-Id": `s${opened}` });
    }
    if (params?._meta === undefined && !sessions.has(session ?? "")) {
      const error = new PortcullisError(session === undefined ? "session_required" : "session_unknown");
      return reply.json(error.row.http, errorText(id, error));
    }
    if (verb === "GET") throw new PortcullisError("method_not_allowed");
    if (verb === "DELETE" || method.startsWith("notifications/")) return reply.empty(202);
    if (method === "throws") throw new PortcullisError("overloaded");
    if (method === "silent") return;
    if (method === "stream") {
      const stream = reply.stream();
      await stream.send("", "0");
      await stream.send('{"jsonrpc":"2.0",\n"method":"notifications/progress"}', "1");
      await stream.send(`{"jsonrpc":"2.0","id":${id},"result":{}}`);
      return stream.end();
    }
    if (method === "cut") return reply.stream().end();
    if (method === "hold" || method === "subscriptions/listen")
      return new Promise((_, reject) =>
        exchange.signal.addEventListener("abort", () => reject(new PortcullisError("cancelled"))),
      );
    answer({ method });
  }
  return { seen, sessions, exchanges, handle };
}

test("lines sent at once are one session's, and each gets its answer before the end", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  local.say(INITIALIZE, INITIALIZED, request(1, "tools/list"));
  local.input.end(JSON.stringify(request(2, "ping")));
  await local.done;
  expect(local.lines().map(({ id }) => id)).toEqual([0, 1, 2]);
  const asked = gate.seen.map(({ verb, method }) => method || verb);
  expect(asked.filter((one) => one !== "GET")).toEqual([
    "initialize",
    "notifications/initialized",
    "tools/list",
    "ping",
    "DELETE",
  ]);
  expect(asked).toContain("GET");
  expect(gate.seen[0]).toMatchObject({ session: undefined, version: undefined });
  for (const one of gate.seen.slice(1)) expect(one).toMatchObject({ session: "s1", version: "2025-06-18" });
});

test("a line that is not one strict JSON document is refused, recorded, and the next is read", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle, { limits: { body: 1000, depth: 8, drain_ms: 100 } });
  const hostile = [
    "nonsense",
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"__proto__":{}}}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"n":9007199254740993}}',
    "[".repeat(20),
    `"${"x".repeat(2000)}"`,
  ];
  local.say(...hostile, "", "  ");
  local.input.write(Buffer.from([0xff, 0x0a]));
  local.say(INITIALIZE);
  local.input.end();
  await local.done;
  const errors = local.lines().filter(({ error }) => error !== undefined);
  expect(errors.map(({ id }) => id)).toEqual(Array(7).fill(null));
  expect(local.refused.map(({ code }) => code).sort()).toEqual([
    "body_too_large",
    "json_invalid",
    "json_invalid",
    "json_refused",
    "json_refused",
    "json_refused",
    "json_refused",
  ]);
  expect(local.lines().at(-1)).toMatchObject({ id: 0, result: {} });
});

test("what the gate throws, leaves out or cuts is an error line; what it tells a notification is not told", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  local.say(INITIALIZE, { jsonrpc: "2.0", method: "silent" }, { jsonrpc: "2.0", id: 9, result: {} });
  for (const [at, method] of ["throws", "silent", "cut", "stream"].entries())
    local.say(request(at + 1, method));
  local.input.end();
  await local.done;
  const codes = local.lines().flatMap(({ id, error }) => (error ? [[id, (error as JsonObject).data]] : []));
  expect(codes.sort()).toEqual([
    [1, { code: "overloaded" }],
    [2, { code: "internal" }],
    [3, { code: "cancelled" }],
  ]);
  expect(local.lines().map(({ id }) => id)).not.toContain(9);
});

test("two requests of one id are not in flight at once", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle, { limits: { body: 1000, depth: 8, drain_ms: 10 } });
  local.say(INITIALIZE, request(1, "hold"), request(1, "ping"));
  await expect.poll(() => local.refused.map(({ code }) => code)).toEqual(["id_in_use"]);
  local.input.end();
  await local.done;
  expect(local.lines().map(({ id }) => id)).toEqual([0, null, 1]);
});

test("a modern client cancels by id and hears no more of that request; a legacy one tells its session", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } };
  local.say(request(1, "hold", { _meta: MODERN }));
  await expect.poll(() => gate.exchanges.has("hold")).toBe(true);
  local.say(cancelled);
  await expect.poll(() => gate.exchanges.get("hold")?.signal.aborted).toBe(true);
  local.say(INITIALIZE, request(1, "hold"));
  await expect.poll(() => gate.seen.filter(({ method }) => method === "hold").length).toBe(2);
  local.say(cancelled);
  await expect.poll(() => gate.exchanges.has("notifications/cancelled")).toBe(true);
  gate.exchanges.get("hold")?.cancel();
  local.input.end();
  await local.done;
  expect(local.lines().map(({ id }) => id)).toEqual([0]);
});

test("a session that the gateway has let go is begun again, and the call made in it", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  local.say(INITIALIZE, INITIALIZED);
  await expect.poll(() => gate.seen.length).toBe(3);
  gate.sessions.clear();
  local.say(request(1, "tools/list"), request(2, "tools/list"));
  local.input.end();
  await local.done;
  const answers = local.lines().filter(({ id }) => id !== 0);
  expect(answers.every(({ result }) => result !== undefined)).toBe(true);
  expect([answers.length, local.lines().length, gate.sessions.size]).toEqual([2, 3, 1]);
});

test("the end of input ends streams at once and waits for calls; an abort waits for nothing", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle, { limits: { body: 1000, depth: 8, drain_ms: 60_000 } });
  local.say(request(1, "subscriptions/listen", { _meta: MODERN }));
  await expect.poll(() => gate.exchanges.has("subscriptions/listen")).toBe(true);
  local.input.end();
  await local.done;
  expect(gate.exchanges.get("subscriptions/listen")?.signal.aborted).toBe(true);

  const abort = new AbortController();
  const other = serveLines(gate.handle, { signal: abort.signal });
  other.say(INITIALIZE, request(1, "hold"));
  await expect.poll(() => gate.exchanges.get("hold")?.signal.aborted).toBe(false);
  abort.abort();
  await other.done;
  expect(gate.exchanges.get("hold")?.signal.aborted).toBe(true);
});

test("who reads nothing stops being read from, and loses nothing", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  local.say(INITIALIZE);
  let id = 0;
  while (!local.input.isPaused()) {
    local.say(request(++id, "tools/list"));
    await new Promise(setImmediate);
  }
  const served = gate.seen.length;
  const last = id + 100;
  while (id < last) local.say(request(++id, "tools/list"));
  await new Promise(setImmediate);
  expect(gate.seen.length).toBe(served);
  const seen = new Set<unknown>();
  await expect
    .poll(() => {
      for (const { id } of local.lines()) seen.add(id);
      return seen.size;
    })
    .toBe(last + 1);
  local.input.end();
  await local.done;
});

test("when nobody reads any more it ends, and the session with it", async () => {
  const gate = createGate();
  const local = serveLines(gate.handle);
  local.say(INITIALIZE, request(1, "hold"));
  await expect.poll(() => gate.exchanges.has("hold")).toBe(true);
  local.output.destroy(new Error("EPIPE"));
  await local.done;
  expect(gate.exchanges.get("hold")?.signal.aborted).toBe(true);
  expect(gate.seen.at(-1)).toMatchObject({ verb: "DELETE", session: "s1" });
});
