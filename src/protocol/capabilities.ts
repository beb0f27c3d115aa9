import type { Era, UpstreamIdentity } from "../domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { TASKS_EXTENSION } from "./tasks.ts";

/** What a gateway may relay of what servers can do. */
export type Relayed = "tools" | "resources" | "prompts" | "completions" | "logging" | "tasks" | "extensions";

export interface MergeOptions {
  /** In whose words. */
  readonly era: Era;
  readonly relayed: ReadonlySet<Relayed>;
}

type Identity = Pick<UpstreamIdentity, "era" | "capabilities">;

/** The lists, whose changes the gateway notices and tells by itself. */
const LISTS = ["tools", "resources", "prompts"] as const;
const PLAIN = ["completions", "logging"] as const;

/**
 * What a virtual server can do: what any of its upstreams can, as far as the gateway relays it. What it does not know
 * is left out, for nobody would relay it; `experimental` likewise.
 */
export function mergeCapabilities(
  identities: readonly Identity[],
  { era, relayed }: MergeOptions,
): JsonObject {
  const having = (name: string): readonly JsonObject[] =>
    identities.map(({ capabilities }) => capabilities[name]).filter(isJsonObject);
  const merged: Record<string, Json> = {};
  for (const name of LISTS) {
    const found = relayed.has(name) ? having(name) : [];
    if (found.length === 0) continue;
    const subscribe = name === "resources" && found.some((one) => one.subscribe === true);
    merged[name] = { listChanged: true, ...(subscribe && { subscribe: true }) };
  }
  for (const name of PLAIN) if (relayed.has(name) && having(name).length > 0) merged[name] = {};
  // A task is followed in the words it was made in: those of another era know no such thing.
  const sameEra = identities.filter((one) => one.era === era);
  const tasks = era === "legacy" && relayed.has("tasks") ? tasksOf(sameEra) : undefined;
  if (tasks !== undefined) merged.tasks = tasks;
  const extensions = relayed.has("extensions") ? extensionsOf(identities, sameEra, relayed) : {};
  if (Object.keys(extensions).length > 0) merged.extensions = extensions;
  return merged;
}

function tasksOf(identities: readonly Identity[]): JsonObject | undefined {
  const calls = identities.some(({ capabilities: { tasks } }) => {
    const requests = isJsonObject(tasks) ? tasks.requests : undefined;
    return isJsonObject(requests) && isJsonObject(requests.tools) && isJsonObject(requests.tools.call);
  });
  return calls ? { list: {}, cancel: {}, requests: { tools: { call: {} } } } : undefined;
}

/** By name, as the first upstream that has it says. */
function extensionsOf(
  identities: readonly Identity[],
  sameEra: readonly Identity[],
  relayed: ReadonlySet<Relayed>,
): JsonObject {
  const merged: Record<string, Json> = {};
  for (const identity of identities) {
    const { extensions } = identity.capabilities;
    if (!isJsonObject(extensions)) continue;
    for (const [name, settings] of Object.entries(extensions)) {
      const followed = name !== TASKS_EXTENSION || (relayed.has("tasks") && sameEra.includes(identity));
      if (followed && !Object.hasOwn(merged, name)) merged[name] = settings;
    }
  }
  return merged;
}
