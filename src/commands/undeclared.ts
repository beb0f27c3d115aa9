import type { Pin } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { Tenant } from "../config/tenants.ts";
import type { Grant, Target } from "../domain.ts";
import { identityOf } from "../golden/identity.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { isJsonObject } from "../lib/json.ts";
import { boundsSet } from "../policy/bound-set.ts";
import { compileSchema } from "../policy/schema.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { RuleFact } from "../policy/toolchain.ts";
import type { Layers } from "./layers.ts";
import type { Printable } from "./load.ts";

interface Parts {
  readonly config: Config;
  readonly read: Layers;
  readonly policies: Pick<PolicyStore, "current">;
  readonly pins: readonly Pin[];
  /** By layer, their files as they are to be printed. */
  readonly rules: ReadonlyMap<string, readonly RuleFact[]>;
}

/**
 * Grants that bound an argument which the target does not declare, and are unusable there. Found by asking for the
 * sample users, and for a user of each role that a policy names.
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
        for (const [at, { grants }] of answers.entries())
          for (const grant of grants) note(grant, targets[at], tenant, parts, found);
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

function note(
  grant: Grant,
  target: Target | undefined,
  tenant: Tenant,
  { rules, read }: Parts,
  found: Map<string, Printable>,
): void {
  const schema = target && compiled(target);
  if (target === undefined || schema === undefined) return;
  const undeclared: string[] = [];
  boundsSet(grant.arguments, grant.others, schema.outline, undeclared);
  const argument = undeclared[0]?.slice(1);
  if (argument === undefined) return;
  const layer = grant.layer === "platform" ? "platform" : tenant.id;
  const rule = rules.get(layer)?.find(({ kind, name }) => kind === "grant" && name === grant.reason);
  const directory = read.layers.find(({ name }) => name === layer)?.directory ?? "";
  const declared = isJsonObject(target.inputSchema.properties)
    ? Object.keys(target.inputSchema.properties)
    : [];
  const message = `${target.upstream}: ${target.name} has no argument "${argument}", so this grant is unusable there`;
  found.set(JSON.stringify([layer, grant.reason, target.upstream, target.name]), {
    severity: "warning",
    code: "argument_undeclared",
    message,
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
