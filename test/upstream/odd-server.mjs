// A stdio server with bad manners: garbage on stdout, secrets on stderr, crashes, big integers, endless lines.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const send = (text) => process.stdout.write(`${text}\n`);
const reply = (id, result) => send(`{"jsonrpc":"2.0","id":${id},"result":${result}}`);
process.stdout.write("starting up, hello!\n\u0000\n");
if (process.env.STUBBORN) process.on("SIGTERM", () => {});

const calls = {
  big: (id) => reply(id, '{"content":[], "id": 12345678901234567890, "x":{"unknown":1.0}}'),
  env: (id) => reply(id, JSON.stringify({ env: process.env, cwd: process.cwd(), content: [] })),
  crash: () => process.exit(3),
  silence: () => {},
  foreign: (id) => {
    reply(9999, '{"content":["foreign"]}');
    reply(id, '{"content":["own"]}');
  },
  foreigners: (id) => {
    for (let at = 0; at < 1000; at += 1) reply(9999 + at, '{"content":[]}');
    reply(id, '{"content":["own"]}');
  },
  giant: (id) => {
    send("x".repeat(200_000));
    reply(id, '{"content":["after"]}');
  },
  asks: (id) => {
    send('{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}');
    calls.asked = (answer) => reply(id, JSON.stringify({ content: [], answer }));
  },
  stderr: (id) => {
    process.stderr.write(`token is ${process.env.TOKEN}\n`);
    reply(id, '{"content":[]}');
  },
  spawns: (id) => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    reply(id, JSON.stringify({ content: [], pids: [process.pid, child.pid] }));
  },
  changes: (id) => {
    send('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}');
    reply(id, '{"content":[]}');
  },
  progresses: (id, { progress }, { progressToken }) => {
    const told = progress.replace("TOKEN", JSON.stringify(progressToken));
    send(`{"jsonrpc":"2.0","method":"notifications/progress","params":${told}}`);
    reply(id, '{"content":[]}');
  },
  seen: (id) => reply(id, JSON.stringify({ content: [], seen })),
};
const seen = [];

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params, error } = JSON.parse(line);
  if (method !== undefined) seen.push([method, params?.requestId ?? null, params?._meta ?? null]);
  if (error !== undefined) calls.asked(error);
  else if (method === "initialize") {
    const serverInfo = { name: "odd", version: "1" };
    reply(id, JSON.stringify({ protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo }));
  } else if (method === "tools/call") calls[params.name](id, params.arguments, params._meta ?? {});
  else if (id !== undefined && process.env.SHY) process.exit(1);
  else if (id !== undefined) send(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32601,"message":"no"}}`);
}
if (process.env.STUBBORN) setInterval(() => {}, 1000);
