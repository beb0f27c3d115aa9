import { rolesOf } from "../config/checks.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { CredentialFact, Problem } from "../policy/toolchain.ts";
import type { LayerFiles } from "./layers.ts";

type Fault = Pick<Problem, "code" | "message"> & { readonly hint: string };

/** Grants that name a credential which configuration does not have, or does not give: every call under them would fail. */
export function credentialFindings(
  facts: readonly CredentialFact[],
  { tenant }: Pick<LayerFiles, "tenant">,
  config: Pick<Config, "credentials" | "upstreams">,
): Problem[] {
  return facts.flatMap((fact) => {
    const fault = faultOf(fact, tenant, config);
    return fault === null
      ? []
      : [{ severity: "error" as const, ...fault, file: fact.file, row: fact.row, col: fact.col }];
  });
}

function faultOf(
  { source: name, role, upstream }: CredentialFact,
  tenant: LayerFiles["tenant"],
  { credentials, upstreams }: Pick<Config, "credentials" | "upstreams">,
): Fault | null {
  // What is no literal shows when it is asked for, and is refused then.
  if (name === null) return null;
  if (upstream !== null && !Object.hasOwn(upstreams, upstream))
    return unknown(
      "upstream_unknown",
      `there is no upstream "${upstream}"`,
      upstream,
      Object.keys(upstreams),
      "upstreams",
    );
  const source = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
  if (source === undefined)
    return unknown(
      "credential_unknown",
      `there is no credential source "${name}"`,
      name,
      Object.keys(credentials),
      "credentials",
    );
  if (upstream !== null && !source.upstreams.includes(upstream))
    return unknown(
      "credential_misdirected",
      `credential source "${name}" may not be sent to "${upstream}"`,
      "",
      [],
      `credentials.${name}.upstreams`,
    );
  const roles = rolesOf(source);
  if (role !== null && !roles.includes(role))
    return unknown(
      "credential_role_unknown",
      `credential source "${name}" has no role "${role}"`,
      role,
      roles,
      `credentials.${name}.roles`,
    );
  if (tenant === null) return null;
  const { id } = tenant;
  const given = Object.hasOwn(tenant.credentials, name) ? tenant.credentials[name] : undefined;
  if (given === undefined)
    return unknown(
      "credential_not_given",
      `tenant "${id}" is not given credential source "${name}"`,
      name,
      Object.keys(tenant.credentials),
      `tenants.${id}.credentials`,
    );
  if (role === null || given.roles.includes(role)) return null;
  return unknown(
    "credential_role_not_given",
    `tenant "${id}" is not given role "${role}" of "${name}"`,
    role,
    given.roles,
    `tenants.${id}.credentials.${name}.roles`,
  );
}

function unknown(
  code: string,
  message: string,
  word: string,
  known: readonly string[],
  place: string,
): Fault {
  return { code, message, hint: didYouMean(word, known) || `add it under ${place}` };
}
