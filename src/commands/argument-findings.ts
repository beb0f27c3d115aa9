import type { Pin } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { Tenant } from "../config/tenants.ts";
import type { Grant, Limit, Target } from "../domain.ts";
import { identityOf } from "../golden/identity.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { isJsonObject } from "../lib/json.ts";
import { boundsSet } from "../policy/bound-set.ts";
import { openCapability } from "../policy/capability.ts";
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
  /** What was found without the pins. */
  readonly told: readonly Printable[];
}

interface LayerFacts {
  readonly rules: readonly RuleFact[];
  readonly requirements: readonly RequirementFact[];
}

/**
 * Grants that bound an argument which the target does not declare, and are unusable there; requirements that read one, and
 * cannot be met there; grants that nobody's arguments meet, under the limits. Found by asking for the sample users, and for a
 * user of each role that a policy names.
 */
export function argumentFindings(parts: Parts): Printable[] {
  const views = pinnedViews(parts.config, parts.pins);
  const found: Noted = new Map();
  const unmet: Unmet = new Map();
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
            if (!noteBounds(grant, target, tenant, parts, found))
              noteUnmet(grant, limits, { target, tenant }, parts, unmet);
            for (const wanted of requirementsOf(grant, limits))
              noteReads(wanted, target, tenant, parts, found);
          }
      }
    }
  }
  return [...found.values(), ...[...unmet.values()].filter((one) => one !== null)];
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

/** By grant and target; null: somebody's arguments can meet it. */
type Unmet = Map<string, Printable | null>;

/** Whether there was anything to note. */
function noteBounds(grant: Grant, target: Target, tenant: Tenant, parts: Parts, found: Noted): boolean {
  const schema = compiled(target);
  if (schema === undefined) return false;
  const undeclared: string[] = [];
  boundsSet(grant.arguments, grant.others, schema.outline, undeclared);
  const argument = undeclared[0]?.slice(1);
  if (argument === undefined) return false;
  const rule = { kind: "grant", name: grant.reason, layer: layerOf(grant, tenant) } as const;
  note(rule, target, { argument, so: "so this grant is unusable there" }, parts, found);
  return true;
}

/** What data closes for one tenant it may open for another: told is what is open for none of those who were asked for. */
function noteUnmet(
  grant: Grant,
  limits: readonly Limit[],
  { target, tenant }: { readonly target: Target; readonly tenant: Tenant },
  parts: Parts,
  unmet: Unmet,
): void {
  const schema = compiled(target);
  if (schema === undefined) return;
  const meets = (under: readonly Limit[]) =>
    openCapability({ grants: [grant], limits: under, denials: [], faults: [] }, schema).listed;
  const layer = layerOf(grant, tenant);
  const key = JSON.stringify([layer, grant.reason, target.upstream, target.kind, target.name]);
  const place = placeOf({ kind: "grant", name: grant.reason, layer }, parts);
  if (unmet.get(key) === null || meets(limits) || isTold(place, parts)) return void unmet.set(key, null);
  const closing = limits.filter((one) => !meets([one])).map((one) => layerOf(one, tenant));
  const under =
    closing.length === 0 ? "the limits together" : `a limit of ${[...new Set(closing)].join(" and ")}`;
  const because = meets([]) ? ` under ${under}` : "";
  unmet.set(key, {
    severity: "warning",
    code: "bound_unmeetable",
    message: `${target.upstream}: no arguments of ${target.name} meet this grant${because}, so it opens nothing there`,
    ...place,
    hint: 'to hide a target from somebody: deny contains "the reason" if {…}',
  });
}

/** At the bound itself, where it is written out. */
function isTold({ file, row }: Pick<Printable, "file" | "row">, { facts, told }: Parts): boolean {
  const rows = Array.from(facts.values(), ({ rules }) => rules.filter((one) => one.file === file)).flat();
  const next = Math.min(...rows.map((one) => one.row).filter((one) => one > row));
  return told.some(
    (one) => one.code === "bound_unmeetable" && one.file === file && one.row >= row && one.row < next,
  );
}

interface Rule extends Pick<RuleFact, "kind" | "name"> {
  readonly layer: string;
}

/** In its file, or the folder of its layer. */
function placeOf({ kind, name, layer }: Rule, { facts, read }: Parts) {
  const rule = facts.get(layer)?.rules.find((one) => one.kind === kind && one.name === name);
  const directory = read.layers.find((one) => one.name === layer)?.directory ?? "";
  return { file: rule?.file ?? directory, row: rule?.row ?? 0, col: rule ? 1 : 0 };
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
  rule: Rule,
  target: Target,
  { argument, so }: { readonly argument: string; readonly so: string },
  parts: Parts,
  found: Noted,
): void {
  const declared = isJsonObject(target.inputSchema.properties)
    ? Object.keys(target.inputSchema.properties)
    : [];
  found.set(JSON.stringify([rule.layer, rule.kind, rule.name, target.upstream, target.name]), {
    severity: "warning",
    code: "argument_undeclared",
    message: `${target.upstream}: ${target.name} has no argument "${argument}", ${so}`,
    ...placeOf(rule, parts),
    hint: didYouMean(argument, declared) || `it has ${declared.join(", ") || "none"}`,
  });
}

const schemas = new WeakMap<Target["inputSchema"], ReturnType<typeof compileSchema>>();

function compiled(target: Target) {
  const known = schemas.get(target.inputSchema) ?? compileSchema(target.inputSchema);
  schemas.set(target.inputSchema, known);
  return known.ok ? known.schema : undefined;
}
