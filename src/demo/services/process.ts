import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

/** A server of ours: it ends with this process, or by `stop` and `kill`. */
export interface Running {
  readonly pid: number;
  /** SIGINT, and waits. */
  stop(): Promise<void>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
}

/** Starts a server; `ready` is asked until it says true. What it prints is shown only if it ends before. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: SpawnOptions,
  ready: () => Promise<boolean>,
): Promise<Running> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const listen = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  };
  child.stdout?.on("data", listen);
  child.stderr?.on("data", listen);
  child.once("error", listen);
  if (child.pid !== undefined) watch(child.pid);
  for (let waited = 0; !(await ready().catch(() => false)); waited += 20) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined || waited > 30_000) {
      child.kill("SIGKILL");
      throw new Error(`${command} did not start:\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { pid: child.pid ?? 0, stop: () => end(child, "SIGINT"), kill: () => end(child, "SIGKILL") };
}

/** A server outlives neither a crash nor a kill of this process: a shell waits for that, and ends it. */
function watch(server: number): void {
  const script = 'while kill -0 "$1" && kill -0 "$2"; do sleep 1; done 2>/dev/null; kill -9 "$2" 2>/dev/null';
  const args = ["-c", script, "sh", String(process.pid), String(server)];
  spawn("sh", args, { detached: true, stdio: "ignore" }).unref();
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

/** PostgreSQL refuses to run as root: the account of Debian's package, or nobody's. */
export function unprivileged(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const accounts = readFileSync("/etc/passwd", "utf8").split("\n");
  const line =
    accounts.find((one) => one.startsWith("postgres:")) ?? accounts.find((one) => one.startsWith("nobody:"));
  const [, , uid, gid] = (line ?? "").split(":");
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) };
}
