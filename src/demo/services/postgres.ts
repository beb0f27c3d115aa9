import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "../free-port.ts";
import { servicePaths } from "./paths.ts";
import { type Running, startProcess, unprivileged } from "./process.ts";

/** A PostgreSQL server of its own, on a free loopback port, gone with its data after `close`. */
export interface Postgres {
  readonly port: number;
  /** Of the superuser `postgres`. */
  readonly password: string;
  urlOf(user: string, password: string, database?: string): string;
  /** Runs SQL as the superuser, in this database or in `postgres`. */
  query(sql: string, database?: string): Promise<readonly Record<string, unknown>[]>;
  stop(): Promise<void>;
  /** Starts again after `stop`, with the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Ready in 1.5 s: initdb takes most of it. */
export async function startPostgres(): Promise<Postgres> {
  const { initdb, postgres } = servicePaths().postgres;
  const directory = await mkdtemp(join(tmpdir(), "portcullis-pg-"));
  const password = randomBytes(12).toString("hex");
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, password, { mode: 0o600 });
  const account = unprivileged();
  if (account !== null) {
    await chown(directory, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const options = { cwd: directory, env: { LC_ALL: "C", TZ: "UTC" }, ...account };
  const data = join(directory, "data");
  const port = await freePort();
  const created = spawnSync(
    initdb,
    [
      "-D",
      data,
      "-U",
      "postgres",
      "-A",
      "scram-sha-256",
      `--pwfile=${passwordFile}`,
      "-N",
      "--locale=C.UTF-8",
    ],
    { ...options, encoding: "utf8" },
  );
  if (created.status !== 0) throw new Error(`initdb failed:\n${created.stderr}`);

  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=200",
  ];
  const urlOf = (user: string, secret: string, database = "postgres") =>
    `postgres://${encodeURIComponent(user)}:${encodeURIComponent(secret)}@127.0.0.1:${port}/${database}`;
  const query = async (sql: string, database?: string) => {
    const client = new pg.Client({ connectionString: urlOf("postgres", password, database) });
    client.on("error", () => {});
    try {
      await client.connect();
      return (await client.query(sql)).rows ?? [];
    } finally {
      await client.end().catch(() => {});
    }
  };
  const start = () =>
    startProcess(postgres, ["-D", data, ...settings.flatMap((one) => ["-c", one])], options, async () => {
      await query("select 1");
      return true;
    });

  let server: Running = await start();
  return {
    port,
    password,
    urlOf,
    query,
    stop: () => server.stop(),
    async restart() {
      await server.stop();
      server = await start();
    },
    async close() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
