// A stdio server written out: it tells what it was sent and given, waits for ever, or crashes, as it is asked.
import { createInterface } from "node:readline";

const seen = [];
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const text = (value) => ({ content: [{ type: "text", text: JSON.stringify(value) }] });

let said = "as it was";
const { API_TOKEN = "" } = process.env;
const tools = {
  change: () => {
    said = "changed";
    send({ method: "notifications/tools/list_changed" });
    return text("changed");
  },
  seen: () => text(seen),
  env: () => text(process.env),
  pid: () => text(process.pid),
  tell: ({ progressToken }, id) => {
    send({ method: "notifications/progress", params: { progressToken, progress: 1, message: API_TOKEN } });
    send({ id, error: { code: -32000, message: `refused: ${API_TOKEN}` } });
  },
  wait: () => undefined,
  crash: () => process.exit(3),
};

const answers = {
  initialize: () => ({
    protocolVersion: "2025-11-25",
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: "written out", version: "1" },
    instructions: API_TOKEN,
  }),
  "tools/list": () => ({
    tools: Object.keys(tools).map((name) => ({
      name,
      description: { seen: said, env: API_TOKEN }[name] ?? "",
      inputSchema: { type: "object", properties: {} },
    })),
  }),
  "tools/call": ({ name, _meta = {} }, id) => tools[name](_meta, id),
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  const { id, method, params } = message;
  seen.push(message);
  if (id === undefined) continue;
  const answer = answers[method];
  if (answer === undefined) send({ id, error: { code: -32601, message: "no such method" } });
  else {
    const result = answer(params, id);
    if (result !== undefined) send({ id, result });
  }
}
