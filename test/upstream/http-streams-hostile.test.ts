import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, expect, test } from "vitest";
import type { ClientAnswer, Question } from "../../src/domain.ts";
import { calling, closeAll, event, httpUpstream, serveRaw } from "./servers.ts";

afterEach(closeAll);
const QUICK = { timeouts: { reconnect: { firstMs: 5, maxMs: 20 } } };
const YES: ClientAnswer = { kind: "result", text: '{"action":"accept"}' };

interface Message {
  readonly id?: number | string;
  readonly method?: string;
  readonly result?: unknown;
  readonly error?: { readonly code: number };
}
interface Sides {
  call(response: ServerResponse, message: Message & { readonly id: number }): void;
  get?(response: ServerResponse, request: IncomingMessage): void;
  /** The first of its questions was answered. */
  answered?(): void;
}

/** A legacy server with a session whose streams are the test's own bytes. */
async function serveStreams({ call, get, answered }: Sides) {
  const seen: (Message & { readonly verb: string })[] = [];
  const { url } = await serveRaw((request, response, body) => {
    const message: Message = body === "" ? {} : JSON.parse(body);
    seen.push({ ...message, verb: request.method ?? "" });
    if (request.method === "GET" && get !== undefined) return get(response, request);
    if (request.method !== "POST") return void response.writeHead(405).end();
    if (message.method === "initialize") {
      const result = {
        protocolVersion: "2025-11-25",
        capabilities: {},
        serverInfo: { name: "raw", version: "1" },
      };
      response.setHeader("mcp-session-id", "session");
      response.setHeader("content-type", "application/json");
      return void response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
    }
    if (message.method === "tools/call") return call(response, message as Message & { id: number });
    response.writeHead(message.method === "server/discover" ? 400 : 202).end();
    if (message.method === undefined && answers().length === 1) answered?.();
  });
  const answers = () => seen.filter((one) => one.verb === "POST" && one.method === undefined);
  return { url, seen, answers };
}

function stream(response: ServerResponse, ...events: readonly string[]): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const event of events) response.write(event);
  return response;
}

const data = (text: string, id?: string) => `${id === undefined ? "" : `id: ${id}\n`}data: ${text}\n\n`;
const okay = (id: number) => `{"jsonrpc":"2.0","id":${id},"result":{"content":[]}}`;
const ask = (id: string, method = "elicitation/create") =>
  `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{"big":12345678901234567890}}`;

test("a flood of questions: sixteen are open at a time, the rest are refused, and memory is not theirs", async () => {
  const server = await serveStreams({
    call(response, { id }) {
      stream(response, ...Array.from({ length: 500 }, (_, at) => data(ask(String(at)))));
      response.end(data(okay(id)));
    },
  });
  let open = 0;
  const onQuestion = () => {
    open += 1;
    return new Promise<never>(() => {});
  };
  await httpUpstream(server.url).request(calling("any", {}, { onQuestion }));
  expect(open).toBe(16);
  expect(server.answers().length).toBeLessThanOrEqual(484);
  expect(server.answers().every(({ error }) => error?.code === -32603)).toBe(true);
});

test("a flood of pings is answered as fast as the server hears, and no faster", async () => {
  let onAnswer = () => {};
  const server = await serveStreams({
    call(response, { id }) {
      stream(response, ...Array.from({ length: 2000 }, (_, at) => data(ask(String(at), "ping"))));
      onAnswer = () => void response.end(data(okay(id)));
    },
    answered: () => onAnswer(),
  });
  await httpUpstream(server.url).request(calling("any", {}));
  expect(server.answers().length).toBeGreaterThan(0);
  expect(server.answers().length).toBeLessThan(2000);
});

test("an id that is in use is asked once; the params pass as they were sent", async () => {
  const asked: Question[] = [];
  let onAnswer = () => {};
  const server = await serveStreams({
    call(response, { id }) {
      stream(response, data(ask('"q"')), data(ask('"q"')), data(ask("null")), data(ask('{"a":1}')));
      onAnswer = () => void response.end(data(okay(id)));
    },
    answered: () => onAnswer(),
  });
  const onQuestion = async (question: Question) => {
    asked.push(question);
    return YES;
  };
  await httpUpstream(server.url).request(calling("any", {}, { onQuestion }));
  expect(asked.map(({ params }) => params)).toEqual(['{"big":12345678901234567890}']);
  expect(server.answers()).toMatchObject([{ id: "q", result: { action: "accept" } }]);
});

test("a question after the answer is nobody's, and a late answer goes nowhere", async () => {
  let asked = 0;
  const late = event();
  let goOn = () => {};
  const server = await serveStreams({
    call(response, { id }) {
      stream(response, data(ask("1")));
      goOn = () => void response.write(data(okay(id)) + data(ask("2")));
    },
  });
  const onQuestion = async () => {
    asked += 1;
    goOn();
    await late.promise;
    return YES;
  };
  await httpUpstream(server.url).request(calling("any", {}, { onQuestion }));
  late.resolve();
  await new Promise((done) => setImmediate(done));
  expect(asked).toBe(1);
  expect(server.answers()).toEqual([]);
});

test("a question that the server takes back is over, and gets no answer", async () => {
  const withdrawn = event();
  let takeBack = () => {};
  const server = await serveStreams({
    call(response, { id }) {
      const cancel = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}';
      stream(response, data(ask('"q"')));
      takeBack = () => void response.write(data(cancel));
      void withdrawn.promise.then(() => response.end(data(okay(id))));
    },
  });
  const onQuestion = (_: Question, signal: AbortSignal) =>
    new Promise<ClientAnswer>((resolve) => {
      signal.addEventListener("abort", () => {
        resolve(YES);
        withdrawn.resolve();
      });
      takeBack();
    });
  await httpUpstream(server.url).request(calling("any", {}, { onQuestion }));
  expect(server.answers()).toEqual([]);
});

test("a server without a GET stream simply has none: it is asked for once", async () => {
  const server = await serveStreams({
    call: (response, { id }) => void stream(response, data(okay(id))).end(),
  });
  const upstream = httpUpstream(server.url, QUICK);
  for (let at = 0; at < 3; at += 1)
    await upstream.request(calling("any", {}, { isAskable: true, onQuestion: async () => YES }));
  expect(server.seen.filter(({ verb }) => verb === "GET")).toHaveLength(1);
});

test("a server that never begins its GET stream holds up no call for long", async () => {
  const server = await serveStreams({
    call: (response, { id }) => void stream(response, data(okay(id))).end(),
    get() {},
  });
  const before = Date.now();
  await httpUpstream(server.url).request(
    calling("any", {}, { isAskable: true, onQuestion: async () => YES }),
  );
  // Of its own ten seconds.
  expect(Date.now() - before).toBeLessThan(5000);
});

test("a question on the session's stream without a call is refused, and so is what no client answers", async () => {
  let write = (_: string) => {};
  const server = await serveStreams({
    call: (response, { id }) => void stream(response, data(okay(id))).end(),
    get(response) {
      stream(response, ": open\n\n");
      write = (text) => void response.write(text);
    },
  });
  await httpUpstream(server.url).request(
    calling("any", {}, { isAskable: true, onQuestion: async () => YES }),
  );
  write(data(ask("7")) + data(ask("8", "tools/call")));
  await expect
    .poll(() => server.answers())
    .toMatchObject([
      { id: 7, error: {} },
      { id: 8, error: {} },
    ]);
});

test("progress on the session's stream reaches the call whose token it has, and no other", async () => {
  const seen: string[] = [];
  let [write, answer] = [(_: string) => {}, () => {}];
  const server = await serveStreams({
    call(response, { id }) {
      const progress = (token: number) =>
        `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1}}`;
      answer = () => void stream(response, data(okay(id))).end();
      write(data(progress(id + 1)) + data(progress(id)));
    },
    get(response) {
      stream(response, ": open\n\n");
      write = (text) => void response.write(text);
    },
  });
  const onNotification = (_: string, params: string) => {
    seen.push(params);
    answer();
  };
  const more = { progressToken: "mine", onNotification };
  await httpUpstream(server.url).request(
    calling("any", {}, { ...more, isAskable: true, onQuestion: async () => YES }),
  );
  expect(seen).toEqual(['{"progressToken":"mine","progress":1}']);
});

test("a broken stream is resumed where it was left, never sent again", async () => {
  const left: unknown[] = [];
  let [asked, reset] = [0, () => {}];
  const server = await serveStreams({
    call(response, { id }) {
      asked = id;
      stream(response, data('{"jsonrpc":"2.0","method":"notifications/message","params":{}}', "one"));
      reset = () => void response.socket?.resetAndDestroy();
    },
    get(response, { headers }) {
      left.push(headers["last-event-id"]);
      if (left.length === 1) return void response.writeHead(503).end();
      if (left.length === 2) return void stream(response, data("", "two")).end();
      stream(response, data(okay(asked), "three")).end();
    },
  });
  const told = calling("any", {}, { onNotification: () => reset() });
  expect(await httpUpstream(server.url, QUICK).request(told)).toMatchObject({ kind: "result" });
  expect(left).toEqual(["one", "one", "two"]);
  expect(server.seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
});

test.each([
  ["cannot be resumed", 400, 1],
  ["is not open again in time", 503, 5],
])("a call whose stream %s is one error, told upstream, sent once", async (_, status, tries) => {
  const server = await serveStreams({
    call: (response) => void stream(response, data("", "one")).end(),
    get: (response) => void response.writeHead(status).end(),
  });
  await expect(httpUpstream(server.url, QUICK).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  expect(server.seen.filter(({ verb }) => verb === "GET")).toHaveLength(tries);
  expect(server.seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
  await expect.poll(() => server.seen.map(({ method }) => method)).toContain("notifications/cancelled");
});

test("a stream without end is too long also when it comes in pieces; one that polls forever meets the deadline", async () => {
  let at = 0;
  const flood = data(`{"jsonrpc":"2.0","method":"n","params":{"x":"${"a".repeat(5000)}"}}`);
  const server = await serveStreams({
    call: (response) => void stream(response, data("", "zero")).end(),
    get(response) {
      at += 1;
      stream(response, flood, data("", String(at))).end();
    },
  });
  const limits = { answerBytes: 10_000, streamBytes: 20_000 };
  await expect(
    httpUpstream(server.url, { ...QUICK, limits }).request(calling("any", {})),
  ).rejects.toMatchObject({
    code: "upstream_protocol",
  });
  await expect(
    httpUpstream(server.url, QUICK).request(calling("any", {}, { timeoutMs: 150 })),
  ).rejects.toMatchObject({ code: "upstream_timeout" });
});

test("an event id that no header may have is not sent", async () => {
  const server = await serveStreams({
    call: (response) => void stream(response, data("", "é\tx")).end(),
    get: (response) => void response.writeHead(200).end(),
  });
  await expect(httpUpstream(server.url, QUICK).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_protocol",
  });
  expect(server.seen.filter(({ verb }) => verb === "GET")).toEqual([]);
});

test("a standing stream that brings rubbish is not read on, and harms no call", async () => {
  let opened = 0;
  let written = 0;
  let answer = () => {};
  const server = await serveStreams({
    call(response, { id }) {
      answer = () => void stream(response, data(okay(id))).end();
    },
    get(response) {
      opened += 1;
      if (opened === 5) answer();
      stream(response);
      const flood = setInterval(() => {
        written += 1;
        response.write(data("rubbish"));
      }, 1);
      response.on("close", () => clearInterval(flood));
    },
  });
  const calls = calling("any", {}, { isAskable: true, onQuestion: async () => YES });
  expect(await httpUpstream(server.url, QUICK).request(calls)).toMatchObject({ kind: "result" });
  expect(written / opened).toBeLessThan(20);
});
