// A legacy stdio server that asks, logs and tells of resources as it is asked to, and says what it was told itself.
import { createInterface } from "node:readline";

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const reply = (id, result) => send({ id, result: { content: [], ...result } });
const told = { levels: [], subscribed: [], unsubscribed: [] };
const watched = new Set();
const asked = new Map();
let questions = 0;
let client;

function ask(method, params, then) {
  const id = `q${++questions}`;
  asked.set(id, then);
  send({ id, method, params });
  return id;
}

const calls = {
  who: (id) => reply(id, { pid: process.pid, env: process.env, client, watched: [...watched], ...told }),
  ask: (id, { method = "sampling/createMessage" }) =>
    ask(method, { n: 1 }, (answer) => reply(id, { answer })),
  /** Its question is raw text, so that a big integer stands in it. */
  askRaw(id) {
    asked.set("raw", (answer) => reply(id, { answer }));
    process.stdout.write(
      '{"jsonrpc":"2.0","id":"raw","method":"elicitation/create","params":{"n":12345678901234567890}}\n',
    );
  },
  /** In one write with the answer. */
  askAfter(id) {
    asked.set("after", (answer) => send({ method: "notifications/tasks/status", params: { answer } }));
    const said = [
      { id, result: { content: [] } },
      { id: "after", method: "roots/list", params: {} },
    ];
    process.stdout.write(said.map((one) => `${JSON.stringify({ jsonrpc: "2.0", ...one })}\n`).join(""));
  },
  withdraw(id) {
    const question = ask("elicitation/create", {}, () => reply(id, { answer: "too late" }));
    calls.withdrawn = () => {
      send({ method: "notifications/cancelled", params: { requestId: question } });
      reply(id, { withdrawn: true });
    };
  },
  flood(id) {
    let answers = 0;
    for (let at = 0; at < 40; at++) ask("roots/list", {}, () => ++answers === 16 && reply(id, { answers }));
  },
  log(id, { level = "info" }) {
    send({ method: "notifications/message", params: { level, data: process.pid } });
    reply(id, {});
  },
  touch(id, { uri }) {
    send({ method: "notifications/resources/updated", params: { uri } });
    reply(id, {});
  },
  lists(id) {
    for (const list of ["tools", "resources", "prompts"])
      send({ method: `notifications/${list}/list_changed` });
    reply(id, {});
  },
  leak(id) {
    for (const line of process.env.KEY.split("\n")) console.error(`key: ${line}`);
    reply(id, {});
  },
  hold: () => {},
  crash: () => process.exit(3),
};

const answers = {
  initialize({ capabilities, clientInfo }) {
    client = { capabilities, clientInfo };
    const listChanged = true;
    return {
      protocolVersion: "2025-11-25",
      capabilities: { tools: { listChanged }, resources: { subscribe: true, listChanged }, logging: {} },
      serverInfo: { name: "held", version: "1" },
    };
  },
  "logging/setLevel": ({ level }) => void told.levels.push(level),
  "resources/subscribe"({ uri }) {
    watched.add(uri);
    told.subscribed.push(uri);
  },
  "resources/unsubscribe"({ uri }) {
    watched.delete(uri);
    told.unsubscribed.push(uri);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params, result, error } = JSON.parse(line);
  if (method === undefined) asked.get(id)?.(result ?? error);
  else if (method === "tools/call") calls[params.name](id, params.arguments);
  else if (params?.uri === "no://where") send({ id, error: { code: -32002, message: "not here" } });
  else if (answers[method]) send({ id, result: answers[method](params) ?? {} });
  else if (id !== undefined) send({ id, error: { code: -32601, message: "no" } });
}
