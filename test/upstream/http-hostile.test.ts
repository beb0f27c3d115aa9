import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { inspect } from "node:util";
import { afterEach, expect, test } from "vitest";
import { PortcullisError } from "../../src/lib/errors.ts";
import { GATEWAY_SESSION } from "../../src/lib/gateway-session.ts";
import { type Log, silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { ownPort } from "../support/port.ts";
import { asking, calling, closeAll, event, httpUpstream, serveRaw } from "./servers.ts";

afterEach(closeAll);
const signal = new AbortController().signal;

interface Call {
  readonly id: number;
  readonly params: { readonly name: string; readonly _meta?: { readonly progressToken?: number } };
  readonly headers: IncomingHttpHeaders;
}
interface Seen {
  readonly verb: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly message: { readonly [key: string]: unknown };
}

/** A legacy server whose answers to tools/call are the test's own bytes. */
async function serveLegacy(
  answer: (response: ServerResponse, call: Call) => void,
  more: { port?: number } = {},
) {
  const seen: Seen[] = [];
  let sessions = 0;
  const serve = (port: number) =>
    serveRaw((request, response, body) => {
      const message = body === "" ? {} : JSON.parse(body);
      const { headers, method: verb = "" } = request;
      seen.push({ verb, method: message.method ?? "", headers, message });
      if (verb !== "POST") return void response.writeHead(405).end();
      if (message.method === "initialize") {
        const result = {
          protocolVersion: "2025-06-18",
          capabilities: {},
          serverInfo: { name: "raw", version: "1" },
        };
        response.setHeader("mcp-session-id", `session-${++sessions}`);
        return json(response, { jsonrpc: "2.0", id: message.id, result });
      }
      if (message.method === "tools/call") return answer(response, { ...message, headers });
      if (message.id === undefined || message.method === undefined) return void response.writeHead(202).end();
      json(response, { jsonrpc: "2.0", id: message.id, error: { code: -32601, message: "no" } }, 400);
    }, port);
  const served = await serve(more.port ?? 0);
  return { ...served, seen };
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json" }).end(text);
}

function events(response: ServerResponse, ...texts: string[]): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const text of texts) response.write(`data: ${text}\n\n`);
  return response;
}

const okay = (id: number, extra = "") => `{"jsonrpc":"2.0","id":${id},"result":{"content":[]${extra}}}`;

test("the answer passes as the text that the upstream sent", async () => {
  const result = '{ "content":[],"big":12345678901234567890,"z":1.0,"a":"\\u00e9", "unknown":{} }';
  const { url } = await serveLegacy((response, { id }) =>
    json(response, `{"result":${result},"id":${id},"jsonrpc":"2.0"}`),
  );
  expect((await httpUpstream(url).request(calling("any", {}))).text).toBe(result);
});

test("line ends between tokens become spaces, so that an answer is one line", async () => {
  const { url } = await serveLegacy((response, { id }) =>
    json(response, `{"jsonrpc":"2.0",\r\n"id":${id},"result":{\r\n"a":\n"\\n"}}`),
  );
  expect((await httpUpstream(url).request(calling("any", {}))).text).toBe('{  "a": "\\n"}');
});

test("a tool's own error and a JSON-RPC error are told apart and both passed on", async () => {
  const { url } = await serveLegacy((response, { id, params }) => {
    if (params.name === "tool") return json(response, okay(id, ',"isError":true'));
    json(response, `{"jsonrpc":"2.0","id":${id},"error":{"code":-5,"message":"m","data":9007199254740993}}`);
  });
  const upstream = httpUpstream(url);
  expect(await upstream.request(calling("tool", {}))).toMatchObject({ kind: "result", isError: true });
  expect(await upstream.request(calling("rpc", {}))).toEqual({
    kind: "error",
    isError: true,
    era: "legacy",
    text: '{"code":-5,"message":"m","data":9007199254740993}',
  });
});

test("a response with a foreign id is dropped and logged, and the own one is still found", async () => {
  const warned: object[] = [];
  const log: Log = { ...silentLog, warn: (fields) => warned.push(fields) };
  const { url } = await serveLegacy((response, { id, params }) => {
    if (params.name === "only") return json(response, okay(id + 1000));
    events(response, okay(id + 1), `{"jsonrpc":"2.0","id":"${id}","result":{}}`, okay(id, ',"own":1')).end();
  });
  const upstream = httpUpstream(url, { log });
  expect((await upstream.request(calling("both", {}))).text).toBe('{"content":[],"own":1}');
  await expect(upstream.request(calling("only", {}))).rejects.toMatchObject({ code: "upstream_protocol" });
  // Counted, and logged each time that the count has doubled.
  expect(warned).toMatchObject([{ dropped: 1 }, { dropped: 2 }]);
});

test("progress of a foreign request is dropped", async () => {
  const { url } = await serveLegacy((response, { id, params }) => {
    const token = params._meta?.progressToken ?? 0;
    const progress = (one: unknown) =>
      `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.50,"progressToken":${one}}}`;
    events(response, progress(token + 1), progress('"x"'), progress(token), okay(id)).end();
  });
  const seen: string[] = [];
  const onNotification = (_: string, params: string) => seen.push(params);
  await httpUpstream(url).request(calling("any", {}, { progressToken: "mine", onNotification }));
  expect(seen).toEqual(['{"progress":1.50,"progressToken":"mine"}']);
});

test("log messages of a call's stream pass as they are; requests are refused and ping is answered", async () => {
  const { url, seen } = await serveLegacy((response, { id }) => {
    const log = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info", "data":1}}';
    const ping = '{"jsonrpc":"2.0","id":"p","method":"ping"}';
    const ask = '{"jsonrpc":"2.0","id":1.0,"method":"roots/list"}';
    events(response, log, ping, ask);
    const answered = () => seen.filter(({ message }) => message.method === undefined).length >= 2;
    const timer = setInterval(() => {
      if (!answered()) return;
      clearInterval(timer);
      response.end(`data: ${okay(id)}\n\n`);
    }, 5);
  });
  const passed: string[] = [];
  await httpUpstream(url).request(calling("any", {}, { onNotification: (...args) => passed.push(...args) }));
  expect(passed).toEqual(["notifications/message", '{"level":"info", "data":1}']);
  const answers = seen.filter(({ message }) => message.method === undefined).map(({ message }) => message);
  expect(answers).toContainEqual({ jsonrpc: "2.0", id: "p", result: {} });
  expect(answers).toContainEqual({
    jsonrpc: "2.0",
    id: 1,
    error: { code: -32601, message: "Method not found" },
  });
});

test.each([
  ["HTML", (response: ServerResponse) => response.end("<html>")],
  ["a batch", (response: ServerResponse, { id }: Call) => json(response, `[${okay(id)}]`)],
  [
    "a key twice",
    (response: ServerResponse, { id }: Call) =>
      json(response, `{"id":${id},"jsonrpc":"2.0","result":{},"result":{}}`),
  ],
  [
    "result and error",
    (response: ServerResponse, { id }: Call) =>
      json(response, `{"id":${id},"jsonrpc":"2.0","result":{},"error":{"code":1,"message":""}}`),
  ],
  ["invalid UTF-8", (response: ServerResponse) => response.end(Buffer.from([0x7b, 0xff, 0x7d]))],
  [
    "invalid UTF-8 in events",
    (response: ServerResponse) =>
      events(response).end(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 10, 10])),
  ],
  ["an event that is not JSON", (response: ServerResponse) => void events(response, "hello")],
  [
    "an injected event",
    (response: ServerResponse) => void events(response, '{"a":1\n\nevent: message\ndata: {}'),
  ],
  ["202 and nothing", (response: ServerResponse) => response.writeHead(202).end()],
  ["a stream without an answer", (response: ServerResponse) => events(response).end()],
  ["a redirect", (response: ServerResponse) => response.writeHead(307, { location: "/elsewhere" }).end()],
  [
    "an answer over the limit",
    (response: ServerResponse, { id }: Call) => json(response, okay(id, `,"x":"${"x".repeat(20_000)}"`)),
  ],
  [
    "a giant line in an event",
    (response: ServerResponse) => void events(response).write(`data: ${"x".repeat(20_000)}`),
  ],
  [
    "an endless stream",
    (response: ServerResponse) =>
      void events(
        response,
        ...Array(500).fill(
          '{"jsonrpc":"2.0","method":"n","params":{"p":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}',
        ),
      ),
  ],
])("%s is upstream_protocol at once", async (_, answer) => {
  const { url, seen } = await serveLegacy(answer);
  const upstream = httpUpstream(url, { limits: { answerBytes: 10_000, streamBytes: 30_000 } });
  await expect(upstream.request(calling("any", {}))).rejects.toMatchObject({ code: "upstream_protocol" });
  expect(seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
});

test("characters that are split over chunks arrive whole", async () => {
  const { url } = await serveLegacy((response, { id }) => {
    const bytes = Buffer.from(`data: ${okay(id, ',"x":"žluťoučký 🐎"')}\r\n\r\n`);
    events(response);
    const write = (at: number) => {
      if (at < bytes.length) response.write(bytes.subarray(at, at + 1), () => write(at + 1));
      else response.end();
    };
    write(0);
  });
  expect(JSON.parse((await httpUpstream(url).request(calling("any", {}))).text).x).toBe("žluťoučký 🐎");
});

test("a stream that begins with a byte order mark, in a media type of another case, loses nothing", async () => {
  const { url } = await serveLegacy((response, { id }) => {
    response.writeHead(200, { "content-type": "Text/Event-Stream;charset=utf-8" });
    response.end(`\ufeffdata: ${okay(id)}\r\r`);
  });
  expect(await httpUpstream(url).request(calling("any", {}))).toMatchObject({ kind: "result" });
});

test("a reset in the middle of a stream is one error: the call is not sent again, and it is cancelled upstream", async () => {
  const { url, seen } = await serveLegacy((response) => {
    events(response, "");
    setImmediate(() => response.socket?.resetAndDestroy());
  });
  await expect(httpUpstream(url).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  await expect.poll(() => seen.map(({ method }) => method)).toContain("notifications/cancelled");
  expect(seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
});

test("a connection that ends after the request was sent is not used to send it again", async () => {
  const { url, seen } = await serveLegacy((response) => void response.socket?.destroy());
  await expect(httpUpstream(url).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  expect(seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
});

test("a hang ends at the deadline", async () => {
  const { url } = await serveLegacy(
    (response, { params }) => void (params.name === "head" || events(response, "")),
  );
  const upstream = httpUpstream(url);
  await upstream.identify(signal);
  for (const name of ["head", "stream"]) {
    const waiting = upstream.request(calling(name, {})).catch(() => "failed");
    const call = upstream.request(calling(name, {}, { timeoutMs: 100 }));
    await expect(call).rejects.toMatchObject({ code: "upstream_timeout" });
    // The deadline was its own: another call waits on.
    expect(await Promise.race([waiting, "still"])).toBe("still");
  }
});

test("a stream that stays silent too long is given up before its deadline", async () => {
  const { url } = await serveLegacy((response) => void events(response, ""));
  const upstream = httpUpstream(url, { timeouts: { idleMs: 50 } });
  await expect(upstream.request(calling("any", {}))).rejects.toMatchObject({ code: "upstream_timeout" });
});

test("cancelling a call tells a legacy server, in the same session, with the id that it knows", async () => {
  const reached = event();
  let id = 0;
  const { url, seen } = await serveLegacy((response, call) => {
    id = call.id;
    events(response, "");
    reached.resolve();
  });
  const abort = new AbortController();
  const call = httpUpstream(url).request(calling("any", {}, { signal: abort.signal }));
  await reached.promise;
  abort.abort();
  await expect(call).rejects.toMatchObject({ code: "cancelled" });
  await expect
    .poll(() => seen.find(({ method }) => method === "notifications/cancelled"))
    .toMatchObject({
      message: { params: { requestId: id } },
      headers: { "mcp-session-id": "session-2" },
    });
});

test("a call that is cancelled before it begins is never sent", async () => {
  const { url, seen } = await serveLegacy(() => {});
  await expect(
    httpUpstream(url).request(calling("any", {}, { signal: AbortSignal.abort() })),
  ).rejects.toMatchObject({ code: "cancelled" });
  expect(seen).toEqual([]);
});

test("a stale session is opened again once, and the refused call is sent once more under a new id", async () => {
  const ids: unknown[] = [];
  const { url } = await serveLegacy((response, { id, headers }) => {
    ids.push([id, headers["mcp-session-id"]]);
    if (ids.length === 1) return void response.writeHead(404).end();
    json(response, okay(id));
  });
  expect(await httpUpstream(url).request(calling("any", {}))).toMatchObject({ kind: "result" });
  expect(ids.map((one) => (one as unknown[])[1])).toEqual(["session-2", "session-3"]);
  expect(new Set(ids.map((one) => (one as unknown[])[0])).size).toBe(2);
});

test("a server that always forgets its sessions gets a call twice, and no more", async () => {
  let calls = 0;
  const { url } = await serveLegacy((response) => {
    calls += 1;
    response.writeHead(404).end();
  });
  await expect(httpUpstream(url).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  expect(calls).toBe(2);
});

/** Keeps no sessions; `now` is what is deployed, and who speaks another version is refused as the official SDK does it. */
async function serveStateless(now: { version: string; capabilities: object; isDown?: boolean }) {
  return serveRaw(({ headers }, response, body) => {
    const { id, method } = JSON.parse(body);
    if (now.isDown) return void response.socket?.destroy();
    if (id === undefined) return void response.writeHead(202).end();
    const { version: protocolVersion, capabilities } = now;
    const isAgreed = method === "initialize" || headers["mcp-protocol-version"] === protocolVersion;
    const error = { code: -32000, message: "Bad Request: Unsupported protocol version" };
    if (!isAgreed) return json(response, { jsonrpc: "2.0", id: null, error }, 400);
    const result = { protocolVersion, capabilities, serverInfo: {}, content: [] };
    json(response, { jsonrpc: "2.0", id, result });
  });
}

test("a server without sessions that another took the place of is asked anew who it is", async () => {
  const now = { version: "2025-11-25", capabilities: { tools: {} }, isDown: false };
  const upstream = httpUpstream((await serveStateless(now)).url, { era: "legacy" });
  expect(await upstream.identify(signal)).toMatchObject({ capabilities: { tools: {} } });
  now.isDown = true;
  await expect(upstream.request(calling("any", {}))).rejects.toMatchObject({ code: "upstream_unavailable" });
  Object.assign(now, { capabilities: { prompts: {} }, isDown: false });
  expect(await upstream.identify(signal)).toMatchObject({ capabilities: { prompts: {} } });
});

test("a server without sessions that refuses what it agreed to before is asked anew, and its refusal is passed on", async () => {
  const now = { version: "2025-11-25", capabilities: {} };
  const upstream = httpUpstream((await serveStateless(now)).url, { era: "legacy" });
  const asked = [asking("tools/list", {}, { sessionKey: GATEWAY_SESSION }), calling("any", {})];
  const answers = () => Promise.all(asked.map(async (one) => (await upstream.request(one)).kind));
  expect(await answers()).toEqual(["result", "result"]);
  now.version = "2025-06-18";
  expect(await answers()).toEqual(["error", "error"]);
  expect(await answers()).toEqual(["result", "result"]);
  expect(await upstream.identify(signal)).toMatchObject({ protocolVersion: "2025-06-18" });
});

test("each owner has a session of its own, opened once, ended on release", async () => {
  const { url, seen } = await serveLegacy((response, { id, headers }) =>
    json(response, okay(id, `,"session":"${headers["mcp-session-id"]}"`)),
  );
  const upstream = httpUpstream(url);
  const sessionOf = async (sessionKey: string) =>
    JSON.parse((await upstream.request(calling("any", {}, { sessionKey }))).text).session;
  const [ann, alsoAnn, bob] = await Promise.all([sessionOf("ann"), sessionOf("ann"), sessionOf("bob")]);
  expect(ann).toBe(alsoAnn);
  expect(new Set([ann, bob, await sessionOf("ann")]).size).toBe(2);
  const info = seen.filter(({ method }) => method === "initialize").map(({ message }) => message.params);
  expect(info).toHaveLength(3);
  expect(info).toContainEqual(
    expect.objectContaining({ clientInfo: { name: "ann's client", version: "1" } }),
  );
  await upstream.release("ann");
  expect(
    seen.filter(({ verb }) => verb === "DELETE").map(({ headers }) => headers["mcp-session-id"]),
  ).toEqual([ann]);
  expect(await sessionOf("ann")).not.toBe(ann);
});

test("a session that its server opens and then will not begin is ended, however often that is tried", async () => {
  const open = new Set<unknown>();
  const { url } = await serveRaw(({ method, headers }, response, body) => {
    if (method === "DELETE") open.delete(headers["mcp-session-id"]);
    const message = body === "" ? {} : JSON.parse(body);
    if (message.method !== "initialize") return void response.writeHead(503).end();
    open.add(`session-${message.id}`);
    response.setHeader("mcp-session-id", `session-${message.id}`);
    const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: {} };
    json(response, { jsonrpc: "2.0", id: message.id, result });
  });
  const upstream = httpUpstream(url, { era: "legacy" });
  for (let tries = 0; tries < 3; tries += 1)
    await expect(upstream.identify(signal)).rejects.toMatchObject({ code: "upstream_unavailable" });
  expect([...open]).toEqual([]);
});

test("sessions are capped: the least recently used one is ended", async () => {
  const { url, seen } = await serveLegacy((response, { id }) => json(response, okay(id)));
  const upstream = httpUpstream(url, { limits: { sessions: 2 } });
  for (const sessionKey of ["ann", "bob", "cho"]) await upstream.request(calling("any", {}, { sessionKey }));
  await expect.poll(() => seen.filter(({ verb }) => verb === "DELETE")).toHaveLength(1);
});

test("only MCP headers, the credential and the decision id go upstream", async () => {
  const { url, seen } = await serveLegacy((response, { id }) => json(response, okay(id)));
  const credential = new Map([["authorization", new Secret("Bearer lease-1")]]);
  await httpUpstream(url).request(calling("any", {}, { credential }));
  const headers = seen.find(({ method }) => method === "tools/call")?.headers ?? {};
  expect(Object.keys(headers).sort()).toEqual([
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "mcp-protocol-version",
    "mcp-session-id",
    "portcullis-decision",
  ]);
  expect(headers["mcp-protocol-version"]).toBe("2025-06-18");
});

test("the gateway's own credential is for its own requests only", async () => {
  const { url, seen } = await serveLegacy((response, { id }) => json(response, okay(id)));
  const own = new Map([["authorization", new Secret("Bearer own")]]);
  const upstream = httpUpstream(url, { credential: async () => own });
  await upstream.request(asking("tools/list", {}, { sessionKey: GATEWAY_SESSION }));
  await upstream.request(calling("any", {}));
  const sent = (method: string) =>
    seen.filter((one) => one.method === method).map((one) => one.headers.authorization);
  expect(sent("server/discover")).toEqual(["Bearer own"]);
  expect(sent("tools/list")).toEqual(["Bearer own"]);
  expect(sent("initialize")).toEqual(["Bearer own", undefined]);
  expect(sent("tools/call")).toEqual([undefined]);
});

test("an error never shows a secret, whatever went wrong", async () => {
  const { url, close } = await serveLegacy((response) => void response.socket?.destroy());
  const upstream = httpUpstream(url);
  const credential = new Map([["authorization", new Secret("Bearer s3cret")]]);
  const bad = new Map([["authorization", new Secret("s3cret\r\nInjected: yes")]]);
  const failures = [
    await upstream.request(calling("any", {}, { credential })).catch((error) => error),
    await upstream.request(calling("any", {}, { credential: bad })).catch((error) => error),
  ];
  await close();
  failures.push(await upstream.request(calling("any", {}, { credential })).catch((error) => error));
  for (const failure of failures) {
    expect(failure).toBeInstanceOf(PortcullisError);
    expect(inspect(failure, { depth: 20, showHidden: true })).not.toContain("s3cret");
  }
});

test.each([
  [401, "credential_rejected"],
  [403, "credential_rejected"],
  [429, "upstream_unavailable"],
  [503, "upstream_unavailable"],
  [302, "upstream_protocol"],
  [418, "upstream_protocol"],
])("HTTP %d without an answer is %s", async (status, code) => {
  const { url } = await serveLegacy((response) => void response.writeHead(status).end("no"));
  await expect(httpUpstream(url).request(calling("any", {}))).rejects.toMatchObject({ code });
});

test("a server that is down is unavailable, and is found when it comes up", async () => {
  const port = await ownPort();
  const upstream = httpUpstream(`http://127.0.0.1:${port}/mcp`);
  await expect(upstream.identify(signal)).rejects.toMatchObject({ code: "upstream_unavailable" });
  await serveLegacy((response, { id }) => json(response, okay(id)), { port });
  expect(await upstream.request(calling("any", {}))).toMatchObject({ kind: "result" });
});

test("a legacy server's change stream is followed, and opened again after it ends", async () => {
  let streams = 0;
  const { url } = await serveRaw((request, response, body) => {
    const message = body === "" ? {} : JSON.parse(body);
    if (request.method === "GET") {
      streams += 1;
      events(response, '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}').end();
    } else if (message.method === "initialize") {
      const capabilities = { tools: { listChanged: true } };
      json(response, {
        jsonrpc: "2.0",
        id: message.id,
        result: { protocolVersion: "2025-11-25", capabilities },
      });
    } else response.writeHead(202).end();
  });
  const upstream = httpUpstream(url, { timeouts: { reconnect: { firstMs: 5, maxMs: 10 } } });
  const changed = event();
  let heard = 0;
  upstream.onChange(() => {
    heard += 1;
    if (streams >= 3) changed.resolve();
  });
  await changed.promise;
  expect(heard).toBeGreaterThanOrEqual(3);
});

/** Each keeps a parser of all of it for seconds. */
const SLOW: Readonly<Record<string, string>> = {
  "arrays in arrays": `${"[".repeat(60)}${"]".repeat(60)},`.repeat((8 << 20) / 121 - 100),
  "objects with keys of their own": Array.from({ length: 600_000 }, (_, at) => `{"${at}":1},`).join(""),
  "line ends": "\n".repeat((8 << 20) - 100),
};

test.each(Object.entries(SLOW))("an answer of 8 MiB of %s holds up nobody", async (_, parts) => {
  const many = `[${parts}1]`;
  const { url } = await serveLegacy((response, { id }) => json(response, okay(id, `,"a":${many}`)));
  const upstream = httpUpstream(url);
  let [worst, last] = [0, performance.now()];
  const ticking = setInterval(() => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }, 2);
  const { text } = await upstream.request(calling("slow", {}));
  clearInterval(ticking);
  worst = Math.max(worst, performance.now() - last);
  expect(text).toHaveLength(many.length + '{"content":[],"a":}'.length);
  expect(worst).toBeLessThan(1000);
});
