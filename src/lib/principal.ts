import type { Principal } from "../domain.ts";

type Known = Pick<Principal, "kind" | "issuer" | "subject" | "tenant"> & Partial<Principal>;

/** A principal of whom no more is known than this: everything else has the empty value that policy sees. */
export function plainPrincipal({ kind, issuer, subject, tenant, ...more }: Known): Principal {
  return {
    kind,
    issuer,
    subject,
    tenant,
    home_tenant: tenant,
    roles: [],
    scopes: [],
    client: "",
    auth_time: 0,
    acr: "",
    amr: [],
    actor: "",
    run: null,
    attributes: {},
    ...more,
  };
}
