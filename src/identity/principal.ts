import type { Principal } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { type ClaimPath, createClaims, wrongType } from "./claims.ts";

/** How an issuer's claims become the principal. What is not named here does not reach it. */
export interface ClaimMapping {
  readonly roles?: ClaimPath | undefined;
  /** Default: `scope`, else `scp`. */
  readonly scopes?: ClaimPath | undefined;
  /** Default: `client_id`, else `azp`. */
  readonly client?: ClaimPath | undefined;
  /** A claim that says "user" or "service". Default: a subject that is its own client is a service. */
  readonly kind?: ClaimPath | undefined;
  /** Default: the tenant acted on. */
  readonly home_tenant?: ClaimPath | undefined;
  /** Attributes taken from claims. The directory's attribute of the same name wins. */
  readonly attributes?: Readonly<Record<string, ClaimPath>> | undefined;
}

export interface PrincipalMapping {
  readonly issuer: string;
  readonly tenant: { readonly claim: ClaimPath } | { readonly fixed: string };
  readonly claims: ClaimMapping;
}

/**
 * The principal that a verified payload describes, with the attributes that come from claims.
 * Throws `token_invalid` for a claim of the wrong type and `tenant_unknown` where no tenant is named.
 */
export function principalOf(payload: JsonObject, mapping: PrincipalMapping): Principal {
  const claims = createClaims(payload);
  const names = mapping.claims;
  const subject = claims.text("sub");
  if (subject === "") throw new PortcullisError("token_invalid", { reason: "claim sub is missing" });
  const tenant = "fixed" in mapping.tenant ? mapping.tenant.fixed : claims.text(mapping.tenant.claim);
  if (tenant === "") throw new PortcullisError("tenant_unknown", { reason: "the token names no tenant" });
  const client =
    names.client === undefined ? claims.text("client_id") || claims.text("azp") : claims.text(names.client);
  const actor = claims.object("act");
  return {
    kind: kindOf(names.kind === undefined ? "" : claims.text(names.kind), names.kind, subject === client),
    issuer: mapping.issuer,
    subject,
    tenant,
    home_tenant: (names.home_tenant !== undefined && claims.text(names.home_tenant)) || tenant,
    roles: names.roles === undefined ? [] : claims.texts(names.roles),
    scopes: claims.words(names.scopes ?? (Object.hasOwn(payload, "scope") ? "scope" : "scp")),
    client,
    auth_time: claims.time("auth_time"),
    acr: claims.text("acr"),
    amr: claims.texts("amr"),
    actor: actor === undefined ? "" : claims.text(["act", "sub"]),
    run: null,
    attributes: attributesOf(names.attributes ?? {}, claims.value),
  };
}

function kindOf(claimed: string, path: ClaimPath | undefined, ownClient: boolean): Principal["kind"] {
  if (claimed === "") return ownClient ? "service" : "user";
  if (claimed === "user" || claimed === "service") return claimed;
  throw wrongType(path ?? "kind");
}

function attributesOf(
  names: Readonly<Record<string, ClaimPath>>,
  value: (path: ClaimPath) => Json | undefined,
): JsonObject {
  const found = Object.entries(names).map(([name, path]) => [name, value(path)] as const);
  return Object.fromEntries(found.filter((pair): pair is [string, Json] => pair[1] !== undefined));
}
