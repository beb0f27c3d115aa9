import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "./world.ts";

/** The official sample server, on a free port of loopback. */
export async function startEverything(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const loopback = join(ROOT, "test/upstream/loopback.mjs");
  const script = join(ROOT, "node_modules/@modelcontextprotocol/server-everything/dist/index.js");
  const child = spawn(process.execPath, ["--import", loopback, script, "streamableHttp"], {
    env: { PORT: "0" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    const port = /^port=(\d+)$/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return {
      url: `http://127.0.0.1:${port}/mcp`,
      async close() {
        if (child.exitCode !== null) return;
        child.kill("SIGKILL");
        await once(child, "exit");
      },
    };
  }
  throw new Error("server-everything ended before it listened");
}
