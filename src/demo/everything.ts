import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

/** The official sample server of the legacy era, in a process of its own, on a free port of loopback. */
export async function startEverything(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const script = createRequire(import.meta.url).resolve(
    "@modelcontextprotocol/server-everything/dist/index.js",
  );
  const preload = new URL("./loopback.js", import.meta.url).href;
  const child = spawn(process.execPath, ["--import", preload, script, "streamableHttp"], {
    env: { PORT: "0" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const port = await portOf(child);
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    async close() {
      if (child.exitCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

async function portOf(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error("no stderr");
  const lines = createInterface({ input: child.stderr });
  for await (const line of lines) {
    const port = /^port=(\d+)$/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return port;
  }
  throw new Error("server-everything ended before it listened");
}
