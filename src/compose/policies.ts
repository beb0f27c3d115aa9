import { dirname, join } from "node:path";
import { warnOfExposed } from "../lib/own-folder.ts";
import { policyPaths } from "../policy/policy-files.ts";
import { createPreparerThread } from "../policy/preparer-thread.ts";
import { createPolicyStore, type PolicyStore } from "../policy/store.ts";
import type { Ground } from "./ground.ts";
import type { Tenancy } from "./tenancy.ts";

/** Builds that are kept on disk: what is in force, and some to go back to. */
const BUNDLES_PER_LAYER = 4;

/** What decides. `loaded` settles beside the opening of the other rooms, which need not wait for it, and never rejects. */
export function openPolicies(
  ground: Ground,
  tenancy: Tenancy,
): { readonly policies: PolicyStore; readonly loaded: Promise<unknown> } {
  const told = tellWhoDecides(ground, tenancy);
  const policies = createPolicies(ground, tenancy);
  return { policies, loaded: Promise.all([told, policies.load()]) };
}

function createPolicies({ config, log, clock, closing }: Ground, tenancy: Tenancy): PolicyStore {
  const own = [...tenancy.policies.values()].filter((directory) => directory !== null);
  const bundles = {
    directory: join(config.state.path, "bundles"),
    capacity: BUNDLES_PER_LAYER * (1 + own.length),
  };
  const { prepare } = closing.add(createPreparerThread(bundles, log), (opened) => opened.close());
  const policies = createPolicyStore({
    prepare,
    platform: config.policies.path,
    tenants: tenancy.policies,
    tenantSchema: config.policies.tenant_schema ?? {},
    log,
    clock,
  });
  return closing.add(policies, (opened) => opened.close());
}

/** Of what any user may write to. Never rejects. */
async function tellWhoDecides({ config, log }: Ground, { policies }: Tenancy): Promise<void> {
  await warnOfExposed("policies.path", await policyPaths(config.policies.path), log);
  for (const [tenant, own] of policies)
    if (own !== null) await warnOfExposed(`tenants.${tenant}.policies`, await policyPaths(own), log);
  const { path } = config.pins;
  await warnOfExposed("pins.path", [dirname(path), path], log);
}
