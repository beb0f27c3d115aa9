// Ignores the end of its input and SIGTERM, and has started another that does.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

process.on("SIGTERM", () => {});
setInterval(() => {}, 1000);
const deaf = "process.on('SIGTERM', () => {}); process.stdin.resume(); setInterval(() => {}, 1000)";
const child = spawn(process.execPath, ["-e", deaf], { stdio: ["pipe", "ignore", "ignore"] });
const serverInfo = { name: "stubborn", version: "1" };

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method } = JSON.parse(line);
  const result =
    method === "initialize"
      ? { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo }
      : { content: [], pids: [process.pid, child.pid] };
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
}
console.error("my input ended, I do not");
