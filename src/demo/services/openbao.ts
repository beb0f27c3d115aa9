import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../lib/json.ts";
import { freePort } from "../free-port.ts";
import { servicePaths } from "./paths.ts";
import { type Running, startProcess } from "./process.ts";

/** An answer of the API: its status, and its body where there is one. */
export interface BaoAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers, for the one who set it up
  readonly body: any;
}

/** An OpenBao server of its own, unsealed, on a free loopback port, gone with its data after `close`. */
export interface OpenBao {
  readonly address: string;
  /** Its files, gone after `close`. */
  readonly directory: string;
  /** With the rights of everything; another one after a restart. */
  token(): string;
  /** A request with the rights of everything; `path` under `/v1/`. */
  ask(
    method: string,
    path: string,
    data?: JsonObject,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BaoAnswer>;
  /** The same, and rejects unless it succeeds. */
  set(path: string, data: JsonObject, namespace?: string): Promise<BaoAnswer["body"]>;
  /** The audit log's lines so far. */
  audit(): Promise<readonly BaoAnswer["body"][]>;
  /** Seals it, for good: it answers, and opens nothing. */
  seal(): Promise<void>;
  kill(): Promise<void>;
  /** Starts again after `kill` or `seal`, unsealed by its static seal; its data survives where storage is PostgreSQL. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** @param storage a PostgreSQL URL of an empty database; without: in memory, and gone with the process */
export async function startOpenBao(storage?: string): Promise<OpenBao> {
  const { bao } = servicePaths();
  const directory = await mkdtemp(join(tmpdir(), "portcullis-bao-"));
  const password = randomBytes(12).toString("hex");
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const keyFile = join(directory, "seal.key");
  const sealKey = randomBytes(32);
  await writeFile(keyFile, sealKey, { mode: 0o600 });
  await writeFile(join(directory, "bao.hcl"), configuration(directory, address, storage));
  let token = "";

  async function ask(
    method: string,
    path: string,
    data?: JsonObject,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<BaoAnswer> {
    const response = await fetch(`${address}/v1/${path}`, {
      method,
      headers: { "x-vault-token": token, "x-vault-request": "true", ...headers },
      ...(data !== undefined && { body: JSON.stringify(data) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  }
  async function login(): Promise<boolean> {
    const { status, body } = await ask("POST", "auth/userpass/login/admin", { password });
    token = body?.auth?.client_token ?? "";
    return status === 200;
  }
  const start = (ready: () => Promise<boolean>) =>
    startProcess(
      bao,
      ["server", "-config", join(directory, "bao.hcl")],
      { cwd: directory, env: { ADMIN_PW: password, PATH: "/usr/bin:/bin", HOME: directory } },
      ready,
    );

  let server: Running = await start(login);
  return {
    address,
    directory,
    token: () => token,
    ask,
    async set(path, data, namespace = "") {
      const { status, body } = await ask("POST", path, data, { "x-vault-namespace": namespace });
      if (status >= 300) throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
      return body;
    },
    async audit() {
      const text = await readFile(join(directory, "audit.log"), "utf8");
      return text.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
    },
    async seal() {
      await ask("POST", "sys/seal");
      // It would open by itself within seconds: not with another key.
      await server.kill();
      await writeFile(keyFile, randomBytes(32), { mode: 0o600 });
      server = await start(async () => (await ask("GET", "sys/seal-status")).body?.sealed === true);
    },
    kill: () => server.kill(),
    async restart() {
      await server.kill();
      await writeFile(keyFile, sealKey, { mode: 0o600 });
      server = await start(login);
    },
    async close() {
      await server.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Static seal and declarative self-initialisation: no unseal keys, no root token, ready within a second. */
function configuration(directory: string, address: string, storage: string | undefined): string {
  const superuser = `path "*" { capabilities = ["create","read","update","patch","delete","list","sudo"] }`;
  return `
storage ${storage === undefined ? '"inmem" {}' : `"postgresql" {\n  connection_url = "${storage}?sslmode=disable"\n}`}
listener "tcp" {
  address = "${new URL(address).host}"
  tls_disable = true
}
api_addr = "${address}"
seal "static" {
  current_key_id = "k1"
  current_key = "file://${directory}/seal.key"
}
audit "file" "main" {
  options {
    file_path = "${directory}/audit.log"
  }
}
initialize "admin" {
  request "mount" {
    operation = "update"
    path = "sys/auth/userpass"
    data = { type = "userpass" }
  }
  request "policy" {
    operation = "update"
    path = "sys/policies/acl/superuser"
    data = { policy = ${JSON.stringify(superuser)} }
  }
  request "user" {
    operation = "update"
    path = "auth/userpass/users/admin"
    data = {
      password = { eval_type = "string", eval_source = "env", env_var = "ADMIN_PW" }
      token_policies = ["superuser"]
    }
  }
}
`;
}
