import { isJsonObject } from "../lib/json.ts";
import { didYouMean, type Finding, type Path } from "./problems.ts";

/** What can be named from elsewhere. */
export type Known = Readonly<
  Record<
    "upstreams" | "servers" | "credentials" | "vaults" | "accounts" | "tenants",
    readonly string[] | null
  >
>;

/** Where a name stands that must exist elsewhere: `*` is every key or item, a last `@` the keys themselves. */
interface Reference {
  readonly at: Path;
  readonly to: keyof Known;
  readonly word: string;
}

const OF_A_TENANT: readonly Reference[] = [
  { at: ["servers", "*"], to: "servers", word: "virtual server" },
  { at: ["credentials", "@"], to: "credentials", word: "credential source" },
];

export const OF_USERS: readonly Reference[] = [{ at: ["*", "tenant"], to: "tenants", word: "tenant" }];

const REFERENCES: readonly Reference[] = [
  { at: ["servers", "*", "upstreams", "*"], to: "upstreams", word: "upstream" },
  { at: ["credentials", "*", "upstreams", "*"], to: "upstreams", word: "upstream" },
  { at: ["credentials", "*", "vault"], to: "vaults", word: "vault" },
  { at: ["accounts", "transit", "vault"], to: "vaults", word: "vault" },
  { at: ["credentials", "*", "account"], to: "accounts", word: "account" },
  { at: ["upstreams", "*", "credential"], to: "credentials", word: "credential source" },
  { at: ["issuers", "*", "tenant", "fixed"], to: "tenants", word: "tenant" },
  ...OF_USERS.map((one) => ({ ...one, at: ["authorization_server", "users", ...one.at] })),
  ...OF_A_TENANT.map((one) => ({ ...one, at: ["tenants", "*", ...one.at] })),
];

/** Names in a whole configuration that nothing has. Works on what is there, however wrong the rest. */
export function unknownReferences(value: unknown): Finding[] {
  return unknownNames(value, REFERENCES, knownNames(value));
}

/** The same for one tenant's own file. */
export function unknownTenantReferences(value: unknown, known: Known): Finding[] {
  return unknownNames(value, OF_A_TENANT, known);
}

export function knownNames(value: unknown): Known {
  const keys = (...path: readonly string[]): readonly string[] => {
    const found = path.reduce<unknown>((at, key) => (isJsonObject(at) ? at[key] : undefined), value);
    return isJsonObject(found) ? Object.keys(found) : [];
  };
  const tenants = isJsonObject(value) && isJsonObject(value.tenants) ? value.tenants : {};
  return {
    upstreams: keys("upstreams"),
    servers: keys("servers"),
    credentials: keys("credentials"),
    vaults: keys("vaults"),
    accounts: keys("accounts", "providers"),
    // In a folder of tenants any may exist.
    tenants: typeof tenants.path === "string" ? null : keys("tenants"),
  };
}

export function unknownNames(value: unknown, references: readonly Reference[], known: Known): Finding[] {
  return references.flatMap(({ at, to, word }) => {
    const names = known[to];
    if (names === null) return [];
    return occurrences(value, at).flatMap(({ path, name, key }): Finding[] => {
      if (names.includes(name)) return [];
      const hint = didYouMean(name, names) || `add it under ${to}`;
      return [{ code: "unknown_reference", path, key, message: `there is no ${word} "${name}"`, hint }];
    });
  });
}

interface Occurrence {
  readonly path: Path;
  readonly name: string;
  readonly key: boolean;
}

function occurrences(value: unknown, pattern: Path, path: Path = []): Occurrence[] {
  const [step, ...rest] = pattern;
  if (step === undefined) return typeof value === "string" ? [{ path, name: value, key: false }] : [];
  if (Array.isArray(value)) {
    return step === "*" ? value.flatMap((item, index) => occurrences(item, rest, [...path, index])) : [];
  }
  if (!isJsonObject(value)) return [];
  if (step === "@") return Object.keys(value).map((name) => ({ path: [...path, name], name, key: true }));
  const keys = step === "*" ? Object.keys(value) : [String(step)].filter((key) => Object.hasOwn(value, key));
  return keys.flatMap((key) => occurrences(value[key], rest, [...path, key]));
}
