import type { ListedKind, SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import type { Seal } from "../lib/seal.ts";

/** A call that goes on as a task: what was asked for, so that it can be decided again. */
export interface TaskEntry {
  readonly upstream: string;
  readonly kind: ListedKind;
  readonly exposedName: string;
  readonly arguments: JsonObject;
  /** Whose upstream session made it. */
  readonly owner: string;
}

/** Tasks by who made them: an id is as good as none for anybody else. */
export interface Tasks {
  /** @throws PortcullisError `overloaded`; `upstream_protocol` for an id that another upstream gave this principal */
  keep(principal: string, taskId: string, entry: TaskEntry): Promise<void>;
  find(principal: string, taskId: string): Promise<TaskEntry | undefined>;
  all(principal: string): Promise<ReadonlyMap<string, TaskEntry>>;
}

/** A day: what an upstream keeps longer, it keeps for nobody here. */
const LIFE_MS = 24 * 3_600_000;
const MAX_PER_PRINCIPAL = 1000;

export function createTasks(store: SharedStore, seal: Seal, clock: Clock): Tasks {
  const setOf = (principal: string) => `tasks:${sha256(principal)}`;
  const keyOf = (principal: string, taskId: string) => `task:${sha256(JSON.stringify([principal, taskId]))}`;

  async function read(key: string): Promise<TaskEntry | undefined> {
    const text = await store.get(key);
    const entry = text === undefined ? undefined : seal.open(key, text, clock());
    return isJsonObject(entry) ? (entry as unknown as TaskEntry) : undefined;
  }

  return {
    async keep(principal, taskId, entry) {
      const key = keyOf(principal, taskId);
      const known = await read(key);
      if (known !== undefined && known.upstream !== entry.upstream)
        throw new PortcullisError("upstream_protocol", { reason: "two upstreams gave one task id" });
      if (!(await store.join(setOf(principal), taskId, LIFE_MS, MAX_PER_PRINCIPAL)))
        throw new PortcullisError("overloaded", { reason: "too many tasks of one principal" });
      await store.set(key, seal.seal(key, { ...entry }, clock() + LIFE_MS), LIFE_MS);
    },
    find: (principal, taskId) => read(keyOf(principal, taskId)),
    async all(principal) {
      const ids = await store.members(setOf(principal));
      const found = await Promise.all(ids.map(async (id) => [id, await read(keyOf(principal, id))] as const));
      return new Map(found.flatMap(([id, entry]) => (entry === undefined ? [] : [[id, entry] as const])));
    },
  };
}
