import { execFile } from "node:child_process";
import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Config } from "../../config/config.ts";
import { type OpenBao, startOpenBao } from "../services/openbao.ts";
import { servicePaths } from "../services/paths.ts";
import { type Postgres, startPostgres } from "../services/postgres.ts";
import { type DemoIssuer, startIssuer } from "./issuer.ts";

/** OpenBao, PostgreSQL and an issuer of tokens, set up by the example's own scripts. */
export interface VaultWorld {
  readonly bao: OpenBao;
  readonly postgres: Postgres;
  readonly issuer: DemoIssuer;
  /** What the example's configuration refers to. */
  readonly env: Readonly<Record<string, string>>;
  /** The example's configuration with the addresses that the servers really have. */
  configured(given: Config, port: number): Config;
  /** Roles that Vault made, as PostgreSQL lists them. */
  roles(): Promise<readonly MintedRole[]>;
  /** Leases that live in Vault. */
  leases(): Promise<number>;
  close(): Promise<void>;
}

/** A role, until when one may log in with it, and what its connection last asked; null: it has none. */
export interface MintedRole {
  readonly name: string;
  readonly until: Date;
  readonly connected: string | null;
}

const DATABASE = "desk";
const ROLES = `
SELECT rolname AS name, rolvaliduntil AS until, max(query) AS connected FROM pg_roles
LEFT JOIN pg_stat_activity ON usename = rolname
WHERE rolname LIKE 'mcp-%' GROUP BY rolname, rolvaliduntil ORDER BY rolname`;

/** @param folder of the example */
export async function openVaultWorld(folder: string, gatewayUrl: string): Promise<VaultWorld> {
  const postgres = await startPostgres();
  const closers: (() => Promise<void>)[] = [() => postgres.close()];
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const password = randomBytes(18).toString("base64url");
    await fillDatabase(postgres, folder, password);
    // In PostgreSQL, so that its leases survive a restart.
    await postgres.query("CREATE DATABASE bao");
    const bao = await startOpenBao(postgres.urlOf("postgres", postgres.password, "bao"));
    closers.push(() => bao.close());
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const publicKey = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
    const appRole = await setUpVault(folder, {
      bao,
      publicKey,
      GATEWAY_URL: gatewayUrl,
      DATABASE: `127.0.0.1:${postgres.port}/${DATABASE}`,
      DATABASE_PASSWORD: password,
    });
    const issuer = await startIssuer();
    closers.push(() => issuer.close());
    const signingKey = key.export({ type: "pkcs8", format: "pem" }).toString();
    return {
      bao,
      postgres,
      issuer,
      env: { ...appRole, PORTCULLIS_SIGNING_KEY: signingKey },
      configured: (given, port) => configured(given, { port, bao, postgres, issuer }),
      roles: async () => (await postgres.query(ROLES)) as unknown as readonly MintedRole[],
      leases: () => countLeases(bao),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function fillDatabase(postgres: Postgres, folder: string, password: string): Promise<void> {
  await postgres.query(`CREATE DATABASE ${DATABASE}`);
  await postgres.query(await readFile(join(folder, "tickets.sql"), "utf8"), DATABASE);
  await postgres.query(`ALTER ROLE vault PASSWORD '${password}'`);
}

/** Runs the example's own script with the real command line, as an operator would. */
async function setUpVault(
  folder: string,
  {
    bao,
    publicKey,
    ...settings
  }: { readonly bao: OpenBao; readonly publicKey: string } & Record<string, string | OpenBao>,
): Promise<Record<string, string>> {
  const command = servicePaths().bao;
  const keyFile = join(bao.directory, "gateway.pem");
  await writeFile(keyFile, publicKey);
  const { stdout } = await promisify(execFile)("sh", [join(folder, "set-up.sh")], {
    env: {
      ...(settings as Record<string, string>),
      GATEWAY_PUBLIC_KEY: keyFile,
      VAULT_ADDR: bao.address,
      VAULT_TOKEN: bao.token(),
      PATH: `${dirname(command)}:/usr/bin:/bin`,
      HOME: bao.directory,
    },
  });
  return Object.fromEntries(
    [...stdout.matchAll(/^(VAULT_\w+)=(.+)$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );
}

function configured(
  given: Config,
  {
    port,
    bao,
    postgres,
    issuer,
  }: Pick<VaultWorld, "bao" | "postgres" | "issuer"> & { readonly port: number },
): Config {
  const { tickets } = given.upstreams;
  const { main } = given.vaults;
  const [first] = given.issuers;
  if (tickets?.transport !== "stdio" || main === undefined || first === undefined)
    throw new Error("this is not the example's configuration");
  const public_url = `http://127.0.0.1:${port}`;
  return {
    ...given,
    listen: { ...given.listen, port, public_url, allowed_hosts: [new URL(public_url).host] },
    issuers: [{ ...first, issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/jwks` }],
    vaults: { main: { ...main, address: bao.address } },
    upstreams: { tickets: { ...tickets, env: { ...tickets.env, PGPORT: String(postgres.port) } } },
  };
}

async function countLeases(bao: OpenBao, prefix = "database/creds/"): Promise<number> {
  const { status, body } = await bao.ask("LIST", `sys/leases/lookup/${prefix}`);
  if (status === 404) return 0;
  const keys: readonly string[] = body.data.keys;
  const counts = keys.map((key) => (key.endsWith("/") ? countLeases(bao, prefix + key) : 1));
  return (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
}
