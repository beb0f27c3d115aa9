import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { createEngine, type PolicyEngine } from "./engine.ts";
import { createInstancePool } from "./instance-pool.ts";
import { createLayerSource, type LayerSource, type LayerStatus, type PolicyLimits } from "./layer-source.ts";
import type { Prepare } from "./preparation.ts";

export interface PolicyStatus {
  readonly platform: LayerStatus;
  /** Of the tenants that have policies of their own. */
  readonly tenants: Readonly<Record<string, LayerStatus>>;
}

/** Directories of policies -> what decides now. Changed files are built off the request path and swapped whole. */
export interface PolicyStore {
  /** Builds every layer once. Never rejects: `status` says what is bad, and `current` refuses where it matters. */
  load(): Promise<void>;
  /**
   * What decides for a tenant from now until its request ends: hold on to it for the whole decision.
   *
   * @throws PortcullisError `policy_unavailable` when the platform's policies, or the tenant's own, never loaded, or
   * nobody said whether this tenant has any
   */
  current(tenant: string): PolicyEngine;
  /** Reads all directories again, as a change of theirs does. */
  reload(): Promise<PolicyStatus>;
  status(): PolicyStatus;
  /** Calls back when other policies decide from now on. Returns how to stop. */
  onChange(listener: () => void): () => void;
  close(): void;
}

export interface PolicyStoreOptions {
  readonly prepare: Prepare;
  /** Directory of the policies that hold for every tenant. */
  readonly platform: string;
  /** Every tenant: the directory of its own policies, or null for those who share the platform's engine. */
  readonly tenants: ReadonlyMap<string, string | null>;
  /** JSON Schema of `input.tenant`. */
  readonly tenantSchema: JsonObject;
  readonly limits?: Partial<PolicyLimits>;
  readonly log: Log;
  readonly clock: Clock;
}

const MIB = 1024 * 1024;
/** Steps: about 50 ms. One target takes a few thousand, a batch of them some hundred thousand. */
export const POLICY_LIMITS: PolicyLimits = {
  steps: 5_000_000,
  memory: 64 * MIB,
  inputBytes: 2 * MIB,
  inputDepth: 64,
  instances: 256,
};

export function createPolicyStore(options: PolicyStoreOptions): PolicyStore {
  const { prepare, tenantSchema, log, clock } = options;
  const limits = { ...POLICY_LIMITS, ...options.limits };
  const common = { tenantSchema, prepare, pool: createInstancePool(limits.instances), limits, log, clock };
  const engines = new Map<LayerSource | null | undefined, PolicyEngine>();
  const listeners = new Set<() => void>();
  const onSwap = () => {
    engines.clear();
    for (const listener of listeners) listener();
  };

  const platform = createLayerSource({
    ...common,
    layer: "platform",
    tenant: "",
    directory: options.platform,
    onSwap,
  });
  const tenants = new Map(
    Array.from(options.tenants, ([tenant, directory]) => [
      tenant,
      directory === null
        ? null
        : createLayerSource({ ...common, layer: "tenant", tenant, directory, onSwap }),
    ]),
  );
  const layered = [...tenants].flatMap(([tenant, source]) =>
    source === null ? [] : [[tenant, source] as const],
  );
  const sources = [platform, ...layered.map(([, source]) => source)];
  const refreshAll = async () => void (await Promise.all(sources.map((source) => source.refresh())));

  /** Without its own layer a tenant's own denials would be missing; undefined: nobody said that it has none. */
  function engineOf(own: LayerSource | null | undefined): PolicyEngine | null {
    if (own === undefined || !platform.layer || (own && !own.layer)) return null;
    return createEngine({ platform: platform.layer, tenant: own?.layer ?? null, log });
  }

  const status = () => ({
    platform: platform.status,
    tenants: Object.fromEntries(layered.map(([tenant, source]) => [tenant, source.status])),
  });

  return {
    load: refreshAll,
    current: (tenant) => {
      const own = tenants.get(tenant);
      const engine = engines.get(own) ?? engineOf(own);
      if (!engine)
        throw new PortcullisError("policy_unavailable", { reason: `no good policies for tenant ${tenant}` });
      engines.set(own, engine);
      return engine;
    },
    reload: () => refreshAll().then(status),
    status,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      for (const source of sources) source.close();
    },
  };
}
