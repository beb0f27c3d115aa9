import { afterEach, expect, test } from "vitest";
import type { ClientAnswer, Question } from "../../src/domain.ts";
import { serveStateful } from "./legacy-server.ts";
import { calling, closeAll, event, httpUpstream, serveModern, textOf } from "./servers.ts";

afterEach(closeAll);

const CAPABILITIES = { sampling: {}, elicitation: {}, roots: {}, tasks: {}, secret: {} };
const ANSWERS: Record<Question["kind"], string> = {
  elicitation: '{"action":"accept","content":{"name":"ann"}}',
  sampling: '{"role":"assistant","model":"m","content":{"type":"text","text":"hello"}}',
  roots: '{"roots":[{"uri":"file:///ann"}]}',
};
const answering = async ({ kind }: Question): Promise<ClientAnswer> => ({
  kind: "result",
  text: ANSWERS[kind],
});

test.each([
  ["elicit", "elicitation"],
  ["sample", "sampling"],
  ["roots", "roots"],
] as const)("a legacy server's %s is asked of the client and its answer goes back", async (tool, kind) => {
  const { url } = await serveStateful();
  const answer = await httpUpstream(url).request(
    calling(tool, {}, { clientCapabilities: CAPABILITIES, onQuestion: answering }),
  );
  expect(JSON.parse(textOf(answer))).toEqual(JSON.parse(ANSWERS[kind]));
});

test("several questions of one call may be open, and each gets its own answer", async () => {
  const { url } = await serveStateful();
  const both = event();
  let open = 0;
  const onQuestion = async (question: Question) => {
    open += 1;
    if (open === 2) both.resolve();
    await both.promise;
    return answering(question);
  };
  const more = { clientCapabilities: CAPABILITIES, onQuestion };
  const answer = await httpUpstream(url).request(calling("both", {}, more));
  expect(JSON.parse(textOf(answer))).toEqual([JSON.parse(ANSWERS.elicitation), JSON.parse(ANSWERS.roots)]);
});

test("the server is told just what the client can, and nothing where there is nothing", async () => {
  const { url, seen } = await serveStateful();
  const upstream = httpUpstream(url);
  await upstream.request(calling("echo", {}, { sessionKey: "ann", clientCapabilities: CAPABILITIES }));
  await upstream.request(calling("echo", {}, { sessionKey: "bob", clientCapabilities: null }));
  const told = seen
    .filter(({ method }) => method === "initialize")
    .map(({ message }) => (message as { params: { capabilities: object } }).params.capabilities);
  expect(told.slice(1)).toEqual([{ sampling: {}, elicitation: {}, roots: {}, tasks: {} }, {}]);
});

test("a modern server is told with each request what the client can", async () => {
  const bodies: string[] = [];
  const { url } = await serveModern((request) => request.on("data", (chunk) => bodies.push(String(chunk))));
  await httpUpstream(url).request(
    calling("echo", { text: "hi" }, { clientCapabilities: { elicitation: {} }, logLevel: "warning" }),
  );
  expect(JSON.parse(bodies.at(-1) ?? "").params._meta).toMatchObject({
    "io.modelcontextprotocol/clientCapabilities": { elicitation: {} },
    "io.modelcontextprotocol/logLevel": "warning",
  });
});

test("a question on the session's own stream is the one call's that may be asked", async () => {
  const { url } = await serveStateful();
  const upstream = httpUpstream(url);
  const more = { clientCapabilities: CAPABILITIES, isAskable: true, onQuestion: answering };
  for (let at = 0; at < 2; at += 1) {
    const answer = await upstream.request(calling("elicitAside", {}, more));
    expect(JSON.parse(textOf(answer))).toEqual(JSON.parse(ANSWERS.elicitation));
  }
});

test("a question that could be of two calls is asked of neither, but of the owner's listener", async () => {
  const { url } = await serveStateful();
  const upstream = httpUpstream(url);
  const held = event();
  const asked: string[] = [];
  const abort = new AbortController();
  await upstream.listen({
    ...calling("", {}, { clientCapabilities: CAPABILITIES }),
    uris: [],
    signal: abort.signal,
    onNotification() {},
    async onQuestion(question) {
      asked.push("listener");
      return answering(question);
    },
  });
  const first = event();
  const holding = upstream.request(
    calling(
      "elicit",
      {},
      {
        clientCapabilities: CAPABILITIES,
        async onQuestion(question) {
          first.resolve();
          await held.promise;
          return answering(question);
        },
      },
    ),
  );
  await first.promise;
  const onQuestion = async (question: Question) => {
    asked.push("call");
    return answering(question);
  };
  await upstream.request(
    calling("elicitAside", {}, { clientCapabilities: CAPABILITIES, isAskable: true, onQuestion }),
  );
  expect(asked).toEqual(["listener"]);
  held.resolve();
  await holding;
  abort.abort();
});

test("a client that gives no answer is an error to the server, and the call goes on", async () => {
  const { url } = await serveStateful();
  const onQuestion = () => {
    throw new Error("s3cret");
  };
  const more = { clientCapabilities: CAPABILITIES, onQuestion };
  const answer = await httpUpstream(url).request(calling("elicit", {}, more));
  expect(answer).toMatchObject({ kind: "error" });
  expect(answer.text).not.toContain("s3cret");
});

test("a call's time stands still while its client is asked", async () => {
  const { url } = await serveStateful();
  const upstream = httpUpstream(url, { timeouts: { idleMs: 2000 } });
  const onQuestion = async (question: Question) => {
    await new Promise((done) => setTimeout(done, 3000));
    return answering(question);
  };
  const more = { clientCapabilities: CAPABILITIES, onQuestion, timeoutMs: 2000 };
  await upstream.request(calling("echo", {}, { clientCapabilities: CAPABILITIES }));
  expect(await upstream.request(calling("elicit", {}, more))).toMatchObject({ kind: "result" });
});

test("a question ends with its call", async () => {
  const { url } = await serveStateful();
  const asked = event();
  const withdrawn = event();
  const abort = new AbortController();
  const call = httpUpstream(url).request(
    calling(
      "elicit",
      {},
      {
        signal: abort.signal,
        clientCapabilities: CAPABILITIES,
        onQuestion: (_, signal) => {
          signal.addEventListener("abort", withdrawn.resolve);
          asked.resolve();
          return new Promise(() => {});
        },
      },
    ),
  );
  await asked.promise;
  abort.abort();
  await expect(call).rejects.toMatchObject({ code: "cancelled" });
  await withdrawn.promise;
});

test("log messages near a call reach it, and the wanted level is set once", async () => {
  const { url, seen } = await serveStateful();
  const upstream = httpUpstream(url);
  const heard: string[] = [];
  const more = { logLevel: "info", onNotification: (_: string, params: string) => heard.push(params) };
  await upstream.request(calling("log", {}, more));
  await upstream.request(calling("log", {}, more));
  expect(heard).toEqual(Array(2).fill('{"level":"info","data":"near"}'));
  expect(seen.filter(({ method }) => method === "logging/setLevel")).toHaveLength(1);
});

test("an answer that the server makes its client come back for is fetched, and the call is sent once", async () => {
  const { url, seen } = await serveStateful();
  const answer = await httpUpstream(url).request(calling("poll", {}));
  expect(textOf(answer)).toBe('"polled"');
  expect(seen.filter(({ method }) => method === "tools/call")).toHaveLength(1);
  expect(seen.find(({ verb }) => verb === "GET")?.request.headers["last-event-id"]).toBeDefined();
});
