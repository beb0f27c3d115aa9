import { type CredentialsOptions, createCredentials } from "../../src/credential/credentials.ts";
import type { Principal } from "../../src/domain.ts";
import { silentLog } from "../../src/lib/log.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

export const EPOCH = 1_800_000_000;
export const PUBLIC_URL = "https://gate.example";

/** A clock that tests turn by hand. */
export function handClock() {
  let now = EPOCH * 1000;
  return Object.assign(() => now, {
    advance(seconds: number) {
      now += seconds * 1000;
    },
  });
}

export function principalOf(changes: Partial<Principal> = {}): Principal {
  const known = { kind: "user", issuer: "https://idp.example", subject: "ann", tenant: "acme" } as const;
  return plainPrincipal({ ...known, ...changes });
}

export const ann = principalOf();
export const dee = principalOf({ tenant: "globex", subject: "dee" });

export const decision = {
  decisionId: "d1",
  upstream: "crm",
  server: "support",
  revision: { platform: "p1", tenant: "" },
};

/** The stage with one signer for `crm` and `billing`, and two tenants. */
export async function aStage(changes: Partial<CredentialsOptions> = {}) {
  const clock = handClock();
  const credentials = await createCredentials({
    sources: {
      crm: { type: "signed-jwt", audience: "https://crm", ttl: 60, upstreams: ["crm", "billing"] },
      open: { type: "none", upstreams: ["crm"] },
    },
    tenants: (id) =>
      ({
        acme: { crm: { roles: ["reader", "refunder"], max_ttl: 300 }, open: { roles: [], max_ttl: 300 } },
        globex: { crm: { roles: ["reader"], max_ttl: 20 } },
      })[id],
    publicUrl: PUBLIC_URL,
    signingKey: null,
    capacity: 100,
    clock,
    log: silentLog,
    ...changes,
  });
  return { clock, credentials };
}

export function tokenOf(lease: { readonly headers: ReadonlyMap<string, { reveal(): string }> }): string {
  const header = lease.headers.get("authorization")?.reveal() ?? "";
  return header.replace(/^Bearer /, "");
}
