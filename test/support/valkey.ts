import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownPort } from "./port.ts";

/** A real Valkey or Redis server of this test's own, for faults of every kind. */
export interface Valkey {
  readonly port: number;
  /** `redis://127.0.0.1:port` */
  readonly url: string;
  /** Starts it again at the same port, empty. */
  start(): Promise<void>;
  /** Kills it like a power cut, or ends it, letting go of its port and connections. */
  stop(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  restart(): Promise<void>;
  /** Connections stay open, but nothing is answered until `resume`. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

const NAMES = ["valkey-server", "redis-server"];

function binary(): string {
  const found = NAMES.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (found === undefined)
    throw new Error(
      "Install valkey-server or redis-server (7 or later): this test starts a real one from PATH.",
    );
  return found;
}

/** `args`: further configuration as on the command line, such as `--requirepass`. */
export async function startValkey(args: (port: number) => readonly string[] = () => []): Promise<Valkey> {
  const command = binary();
  const port = await ownPort();
  const directory = mkdtempSync(join(tmpdir(), "portcullis-valkey-"));
  let child: ChildProcess | undefined;

  const valkey: Valkey = {
    port,
    url: `redis://127.0.0.1:${port}`,
    async start() {
      const base = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--dir", directory];
      const started = spawn(command, [...base, ...args(port)], { stdio: ["ignore", "pipe", "inherit"] });
      child = started;
      await new Promise<void>((resolve, reject) => {
        let said = "";
        started.once("error", reject);
        started.once("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
        started.stdout.on("data", (chunk) => {
          said += chunk;
          if (said.includes("Ready to accept connections")) resolve();
        });
      });
    },
    async stop(signal = "SIGKILL") {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill(signal);
      if (signal === "SIGTERM") child.kill("SIGCONT");
      await ended;
    },
    async restart() {
      await valkey.stop();
      await valkey.start();
    },
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    async close() {
      await valkey.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await valkey.start();
  return valkey;
}
