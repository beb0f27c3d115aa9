import type { Holder, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Secret } from "../lib/secret.ts";
import { NOBODY } from "./crowd.ts";

/** Which children of an upstream are held apart: none, those of two tenants, of two users, of two leases. */
export type Isolation = "shared" | "tenant" | "user" | "lease";

/** Whom one child is for: requests with the same key share it, and no others. */
export interface Compartment {
  readonly key: string;
  /** Whether all its requests are one user's. Only then it may know of, and speak to, a client. */
  readonly oneUser: boolean;
  /** Whether it serves the gateway's own requests. */
  readonly gateways: boolean;
  /** What its client can, which the child is told when it starts. */
  readonly capabilities: JsonObject;
  /** Over the configured environment. */
  readonly env: ReadonlyMap<string, Secret>;
  /** Among whose it is counted. */
  readonly holder: Holder;
}

export type Asker = Partial<Pick<UpstreamRequest, "who" | "credential" | "lease" | "clientCapabilities">>;

const NO_ENV: ReadonlyMap<string, Secret> = new Map();
const APART = { oneUser: false, gateways: false, capabilities: {}, env: NO_ENV, holder: NOBODY };

/**
 * The compartment that a request belongs to.
 *
 * @throws PortcullisError `credential_refused` for a lease that travels in headers or as a certificate, which a child
 * would never see; and for one that travels in an environment, unless children are held apart by lease: its secret
 * would be in the hands of others.
 */
export function compartmentOf(isolation: Isolation, asker: Asker): Compartment {
  const { who, credential, lease, clientCapabilities } = asker;
  const env = lease?.env ?? NO_ENV;
  const sha256 = lease?.sha256 ?? null;
  const isLeft = credential?.size || lease?.headers.size || lease?.certificate !== undefined;
  if (isLeft || (sha256 !== null && env.size === 0))
    throw new PortcullisError("credential_refused", { reason: "it cannot travel to a process" });
  if (env.size > 0 && (isolation !== "lease" || sha256 === null)) {
    throw new PortcullisError("credential_refused", {
      reason: "the upstream's processes are not held apart by lease",
    });
  }
  if (isolation === "shared") return { ...APART, key: "shared", gateways: true };
  if (who === undefined) return { ...APART, key: keyOf("gateway", sha256), gateways: true, env };
  const { tenant, user } = who;
  if (isolation === "tenant")
    return { ...APART, key: keyOf("tenant", tenant), holder: { ...NOBODY, tenant } };
  const capabilities = clientCapabilities ?? {};
  const held = { oneUser: true, gateways: false, capabilities, env, holder: who };
  const apart = [tenant, user, digest(capabilities)];
  return isolation === "user"
    ? { ...held, key: keyOf("user", ...apart) }
    : { ...held, key: keyOf("lease", ...apart, sha256) };
}

function keyOf(...parts: readonly (string | null)[]): string {
  return JSON.stringify(parts);
}
