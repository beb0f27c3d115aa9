import { join } from "node:path";
import { openVaultWorld, type VaultWorld } from "../../src/demo/vault/world.ts";
import type { LeaseEntry } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { ownPort } from "../support/port.ts";
import { openWorld, ROOT, type World } from "./world.ts";

const EXAMPLE = join(ROOT, "examples/vault");

/** The real servers, and how a gateway's configuration finds them. */
export interface Stand extends VaultWorld {
  /** portcullis.yaml's own part, with the sources that a test has. */
  gateway(options: {
    readonly config: JsonObject;
    readonly policies: string;
    readonly files?: Readonly<Record<string, string>>;
  }): Promise<World>;
  /** What Vault made, as its audit log says. */
  mints(): Promise<readonly Mint[]>;
}

export interface Mint {
  readonly request: string;
  readonly decision: string;
  readonly path: string;
  readonly user: string;
}

/** OpenBao and PostgreSQL as the example sets them up, for a gateway on a port that was chosen before. */
export async function aStand(): Promise<Stand> {
  const port = await ownPort();
  const origin = `http://127.0.0.1:${port}`;
  const world = await openVaultWorld(EXAMPLE, origin);
  return {
    ...world,
    gateway({ config, policies, files = {} }) {
      const vaults = {
        main: {
          address: world.bao.address,
          login: { type: "jwt", role: "user" },
          manager: { type: "approle", role_id: "env:VAULT_ROLE_ID", secret_id: "env:VAULT_SECRET_ID" },
        },
      };
      return openWorld({
        config: { vaults, signing_key: "env:PORTCULLIS_SIGNING_KEY", ...config },
        listen: { port, public_url: origin },
        policies,
        files,
        env: world.env,
      });
    },
    async mints() {
      return (await world.bao.audit())
        .filter(
          ({ type, error, request }) => type === "response" && !error && MINT.test(String(request?.path)),
        )
        .map(({ request, auth }) => ({
          request: request.id,
          decision: request.headers?.["x-mcp-decision-id"]?.[0] ?? "",
          path: request.path,
          user: auth?.display_name ?? "",
        }));
    },
  };
}

const MINT = /^(database\/creds|identity\/oidc\/token|kv\/data|pki\/issue)\//;

export async function leaseRecords(world: Pick<World, "records">): Promise<readonly LeaseEntry[]> {
  return (await world.records()).filter((one) => one.phase === "lease") as unknown as readonly LeaseEntry[];
}
