import { join } from "node:path";
import { openTenancy } from "../compose/tenancy.ts";
import type { Config } from "../config/config.ts";
import type { Tenant } from "../config/tenants.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLog } from "../lib/log.ts";
import { readPolicyFiles } from "../policy/policy-files.ts";
import { createPreparer } from "../policy/preparation.ts";
import { createPolicyStore, type PolicyStore } from "../policy/store.ts";
import type { PolicySources, Problem, Toolchain } from "../policy/toolchain.ts";
import type { Printable } from "./load.ts";

/** A folder of policies: the platform's, or a tenant's own. */
export interface LayerFiles {
  /** "platform", or the tenant's id. */
  readonly name: string;
  readonly directory: string;
  readonly sources: PolicySources;
  /** null: the platform's. */
  readonly tenant: Tenant | null;
}

export interface Layers {
  readonly layers: readonly LayerFiles[];
  readonly tenants: readonly Tenant[];
  /** Of tenants and of folders that cannot be read. */
  readonly problems: readonly Printable[];
}

/** Every layer of the configuration, the platform's first. */
export async function readLayers(config: Config): Promise<Layers> {
  const asked = await Promise.all((await config.tenants.ids()).map((id) => config.tenants.get(id)));
  const tenants = asked.flatMap((one) => (one.ok ? [one.value] : []));
  const schema = config.policies.tenant_schema ?? {};
  const read = await Promise.all([
    readLayer("platform", config.policies.path, null, schema),
    ...tenants.flatMap((tenant) =>
      tenant.policies === null ? [] : [readLayer(tenant.id, tenant.policies, tenant, schema)],
    ),
  ]);
  return {
    layers: read.flatMap(({ layer }) => layer ?? []),
    tenants,
    problems: [
      ...asked.flatMap((one) => (one.ok ? [] : one.problems)),
      ...read.flatMap(({ problems }) => problems),
    ],
  };
}

async function readLayer(
  name: string,
  directory: string,
  tenant: Tenant | null,
  tenantSchema: PolicySources["tenantSchema"],
): Promise<{ readonly layer?: LayerFiles; readonly problems: readonly Printable[] }> {
  const read = await readPolicyFiles(directory, tenant === null ? "platform" : "tenant");
  if (!read.ok) return { problems: read.problems.map((one) => placed(one, directory)) };
  return { layer: { name, directory, sources: { ...read.sources, tenantSchema }, tenant }, problems: [] };
}

/** A problem as the toolchain tells it, its file named from where it really stands. */
export function placed(problem: Problem, directory: string): Printable {
  return { ...problem, file: problem.file === "" ? directory : join(directory, problem.file) };
}

/** What decides, built as the gateway builds it; not watched for long: close it. */
export async function openPolicies(
  config: Config,
  toolchain: Pick<Toolchain, "build">,
): Promise<PolicyStore> {
  const policies = createPolicyStore({
    prepare: createPreparer(toolchain),
    platform: config.policies.path,
    tenants: (await openTenancy(config)).policies,
    tenantSchema: config.policies.tenant_schema ?? {},
    log: silentLog,
    clock: systemClock,
  });
  await policies.load();
  return policies;
}
