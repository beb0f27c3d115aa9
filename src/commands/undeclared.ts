import type { Pin } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { Tenant } from "../config/tenants.ts";
import type { Grant, Target } from "../domain.ts";
import { identityOf } from "../golden/identity.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { isJsonObject } from "../lib/json.ts";
import { boundsSet } from "../policy/bound-set.ts";
import { requirementsOf, type Wanted } from "../policy/requirements.ts";
import { compileSchema } from "../policy/schema.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { RequirementFact, RuleFact } from "../policy/toolchain.ts";
import type { Layers } from "./layers.ts";
import type { Printable } from "./load.ts";

interface Parts {
  readonly config: Config;
  readonly read: Layers;
  readonly policies: Pick<PolicyStore, "current">;
  readonly pins: readonly Pin[];
  /** By layer; files as they are to be printed. */
  readonly facts: ReadonlyMap<string, LayerFacts>;
}

interface LayerFacts {
  readonly rules: readonly RuleFact[];
  readonly requirements: readonly RequirementFact[];
}

/**
 * Grants that bound an argument which the target does not declare, and are unusable there; requirements that read one, and
 * cannot be met there. Found by asking for the sample users, and for a user of each role that a policy names.
 */
export function undeclaredArguments(parts: Parts): Printable[] {
  const views = pinnedViews(parts.config, parts.pins);
  const found = new Map<string, Printable>();
  for (const tenant of examples(parts)) {
    const engine = parts.policies.current(tenant.id);
    for (const server of tenant.servers) {
      // A resource declares no arguments at all: its grants need none.
      const targets = (views.get(server)?.targets ?? []).filter(({ kind }) => kind !== "resource");
      for (const identity of people(tenant, parts)) {
        const answers = engine.capabilities({ ...identity, server, now: 0 }, targets);
        for (const [at, { grants, limits }] of answers.entries())
          for (const grant of grants) {
            const target = targets[at] as Target;
            noteBounds(grant, target, tenant, parts, found);
            for (const wanted of requirementsOf(grant, limits))
              noteReads(wanted, target, tenant, parts, found);
          }
      }
    }
  }
  return [...found.values()];
}

/** Every tenant with a layer of its own, and one of those that have none: all others have the same rules. */
function examples({ read: { tenants } }: Parts): readonly Tenant[] {
  const plain = tenants.filter(({ policies }) => policies === null);
  return [...tenants.filter(({ policies }) => policies !== null), ...plain.slice(0, 1)];
}

function people(tenant: Tenant, { config, read }: Parts) {
  const users = Object.entries(config.authorization_server?.users ?? {});
  const own = users.filter(([, user]) => user.tenant === tenant.id).map(([, { roles }]) => roles);
  const named = read.layers
    .filter((layer) => layer.tenant === null || layer.tenant.id === tenant.id)
    .flatMap(({ sources }) => Object.values(sources.files).flatMap(rolesIn));
  const sets = [...own, ...[...new Set(named)].map((role) => [role])];
  return sets.map((roles) => identityOf(config, tenant, { user: "check", roles }, 0));
}

function rolesIn(rego: string): readonly string[] {
  return Array.from(rego.matchAll(/"([^"\\\n]+)" in input\.principal\.roles\b/g), ([, role = ""]) => role);
}

type Noted = Map<string, Printable>;

function noteBounds(grant: Grant, target: Target, tenant: Tenant, parts: Parts, found: Noted): void {
  const schema = compiled(target);
  if (schema === undefined) return;
  const undeclared: string[] = [];
  boundsSet(grant.arguments, grant.others, schema.outline, undeclared);
  const argument = undeclared[0]?.slice(1);
  if (argument === undefined) return;
  const rule = { kind: "grant", name: grant.reason, layer: layerOf(grant, tenant) } as const;
  note(rule, target, { argument, so: "so this grant is unusable there" }, parts, found);
}

function noteReads(wanted: Wanted, target: Target, tenant: Tenant, parts: Parts, found: Noted): void {
  const schema = compiled(target);
  const rule = { kind: "holds", name: wanted.name, layer: layerOf(wanted, tenant) } as const;
  const fact = parts.facts.get(rule.layer)?.requirements.find(({ name }) => name === wanted.name);
  if (schema === undefined || fact === undefined) return;
  const read = fact.argumentsRead
    .map(([first = ""]) => first)
    .filter((name) => !fact.optional.includes(name));
  const argument = read.find((name) => !schema.outline.has(name));
  if (argument === undefined) return;
  note(rule, target, { argument, so: `which holds.${wanted.name} reads` }, parts, found);
}

function layerOf({ layer }: Pick<Grant, "layer">, tenant: Tenant): string {
  return layer === "platform" ? "platform" : tenant.id;
}

function note(
  { kind, name, layer }: { readonly layer: string } & Pick<RuleFact, "kind" | "name">,
  target: Target,
  { argument, so }: { readonly argument: string; readonly so: string },
  { facts, read }: Parts,
  found: Noted,
): void {
  const rule = facts.get(layer)?.rules.find((one) => one.kind === kind && one.name === name);
  const directory = read.layers.find((one) => one.name === layer)?.directory ?? "";
  const declared = isJsonObject(target.inputSchema.properties)
    ? Object.keys(target.inputSchema.properties)
    : [];
  found.set(JSON.stringify([layer, kind, name, target.upstream, target.name]), {
    severity: "warning",
    code: "argument_undeclared",
    message: `${target.upstream}: ${target.name} has no argument "${argument}", ${so}`,
    file: rule?.file ?? directory,
    row: rule?.row ?? 0,
    col: rule ? 1 : 0,
    hint: didYouMean(argument, declared) || `it has ${declared.join(", ") || "none"}`,
  });
}

const schemas = new WeakMap<Target["inputSchema"], ReturnType<typeof compileSchema>>();

function compiled(target: Target) {
  const known = schemas.get(target.inputSchema) ?? compileSchema(target.inputSchema);
  schemas.set(target.inputSchema, known);
  return known.ok ? known.schema : undefined;
}
