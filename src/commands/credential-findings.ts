import { rolesOf } from "../config/checks.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { Tenant } from "../config/tenants.ts";
import type { CredentialFact, Problem } from "../policy/toolchain.ts";
import type { LayerFiles } from "./layers.ts";

type Fault = Pick<Problem, "code" | "message"> & { readonly hint: string };

/** Whose grants they are, of all tenants. */
interface Receiving {
  readonly layer: Pick<LayerFiles, "tenant">;
  readonly tenants: readonly Tenant[];
}

/** Grants that name a credential which configuration does not have, or gives nobody: every call under them would fail. */
export function credentialFindings(
  facts: readonly CredentialFact[],
  receiving: Receiving,
  config: Pick<Config, "credentials" | "upstreams">,
): Problem[] {
  return facts.flatMap((fact) => {
    const found = faultOf(fact, receiving, config);
    return found === null
      ? []
      : [{ severity: "error" as const, ...found, file: fact.file, row: fact.row, col: fact.col }];
  });
}

function faultOf(
  { source, role, upstream }: CredentialFact,
  receiving: Receiving,
  config: Pick<Config, "credentials" | "upstreams">,
): Fault | null {
  // What is no literal shows when it is asked for, and is refused then.
  if (source === null) return null;
  const named = { source, role, upstream };
  return notConfigured(named, config) ?? notGiven(named, receiving);
}

type Named = Pick<CredentialFact, "role" | "upstream"> & { readonly source: string };

function notConfigured(
  { source: name, role, upstream }: Named,
  { credentials, upstreams }: Pick<Config, "credentials" | "upstreams">,
): Fault | null {
  if (upstream !== null && !Object.hasOwn(upstreams, upstream)) {
    const where = { word: upstream, known: Object.keys(upstreams), place: "upstreams" };
    return fault("upstream_unknown", `there is no upstream "${upstream}"`, where);
  }
  const source = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
  if (source === undefined) {
    const where = { word: name, known: Object.keys(credentials), place: "credentials" };
    return fault("credential_unknown", `there is no credential source "${name}"`, where);
  }
  if (upstream !== null && !source.upstreams.includes(upstream)) {
    const where = { word: "", known: [], place: `credentials.${name}.upstreams` };
    return fault(
      "credential_misdirected",
      `credential source "${name}" may not be sent to "${upstream}"`,
      where,
    );
  }
  const roles = rolesOf(source);
  if (role === null || roles.includes(role)) return null;
  const where = { word: role, known: roles, place: `credentials.${name}.roles` };
  return fault("credential_role_unknown", `credential source "${name}" has no role "${role}"`, where);
}

function notGiven({ source: name, role }: Named, { layer: { tenant }, tenants }: Receiving): Fault | null {
  const receivers = tenant === null ? tenants : [tenant];
  if (receivers.length === 0) return null;
  const whose = tenant === null ? "no tenant is" : `tenant "${tenant.id}" is not`;
  const place = `tenants.${tenant?.id ?? "ID"}.credentials`;
  const given = receivers.flatMap(({ credentials }) =>
    Object.hasOwn(credentials, name) ? (credentials[name] ?? []) : [],
  );
  if (given.length === 0) {
    const known = receivers.flatMap(({ credentials }) => Object.keys(credentials));
    const where = { word: name, known, place };
    return fault("credential_not_given", `${whose} given credential source "${name}"`, where);
  }
  const roles = given.flatMap((one) => one.roles);
  if (role === null || roles.includes(role)) return null;
  const where = { word: role, known: roles, place: `${place}.${name}.roles` };
  return fault("credential_role_not_given", `${whose} given role "${role}" of "${name}"`, where);
}

interface Where {
  /** What was written, and what could have been. */
  readonly word: string;
  readonly known: readonly string[];
  /** Where it could be added. */
  readonly place: string;
}

function fault(code: string, message: string, { word, known, place }: Where): Fault {
  return { code, message, hint: didYouMean(word, known) || `add it under ${place}` };
}
