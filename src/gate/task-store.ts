import type { CatalogView } from "../catalog/view.ts";
import type { Era, SharedStore, Target } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import type { Seal } from "../lib/seal.ts";
import { holderOf } from "./principal.ts";

/** A call that goes on as a task: what was asked for, so that it can be decided again. */
export interface TaskEntry {
  /** A task is followed in the words that it was made in. */
  readonly era: Era;
  readonly upstream: string;
  /** The tool's name on the virtual server. */
  readonly tool: string;
  readonly arguments: JsonObject;
  /** Whose upstream session made it. */
  readonly sessionKey: string;
}

/** Whose a task is: a principal's on a virtual server, where policies and names are those of the call. */
export function makerOf(principalKey: string, server: string): string {
  return JSON.stringify([principalKey, server]);
}

/** What a task was called on; undefined where it is no longer there, or was called in the words of the other era. */
export function toolOf(
  entry: Pick<TaskEntry, "era" | "tool" | "upstream">,
  era: Era,
  view: Pick<CatalogView, "find">,
): Target | undefined {
  const target = view.find("tool", entry.tool);
  return entry.era === era && target?.upstream === entry.upstream ? target : undefined;
}

/** Tasks by their maker, a principal on a virtual server: an id is as good as none for anybody else. */
export interface Tasks {
  /** @throws PortcullisError `overloaded`; `upstream_protocol` for an id that another upstream gave this maker */
  keep(maker: string, taskId: string, entry: TaskEntry): Promise<void>;
  find(maker: string, taskId: string): Promise<TaskEntry | undefined>;
  all(maker: string): Promise<ReadonlyMap<string, TaskEntry>>;
}

/** A day: what an upstream keeps longer, it keeps for nobody here. */
const LIFE_MS = 24 * 3_600_000;
const MAX_PER_USER = 1000;

export function createTasks(store: SharedStore, seal: Seal, clock: Clock): Tasks {
  const setOf = (maker: string) => `tasks:${sha256(maker)}`;
  const keyOf = (maker: string, taskId: string) => `task:${sha256(JSON.stringify([maker, taskId]))}`;

  async function find(maker: string, taskId: string): Promise<TaskEntry | undefined> {
    const key = keyOf(maker, taskId);
    const text = await store.get(key);
    const entry = text === undefined ? undefined : seal.open(key, text, clock());
    return isJsonObject(entry) ? (entry as unknown as TaskEntry) : undefined;
  }

  return {
    find,
    async keep(maker, taskId, entry) {
      const known = await find(maker, taskId);
      if (known !== undefined && known.upstream !== entry.upstream)
        throw new PortcullisError("upstream_protocol", { reason: "two upstreams gave one task id" });
      const key = keyOf(maker, taskId);
      if (!(await store.join(countedBy(maker), key, LIFE_MS, MAX_PER_USER)))
        throw new PortcullisError("overloaded", { reason: "too many tasks of one user" });
      await store.join(setOf(maker), taskId, LIFE_MS, MAX_PER_USER);
      await store.set(key, seal.seal(key, { ...entry }, clock() + LIFE_MS), LIFE_MS);
    },
    async all(maker) {
      const ids = [...(await store.members(setOf(maker)))].sort();
      const found = await Promise.all(ids.map(async (id) => [id, await find(maker, id)] as const));
      return new Map(found.flatMap(([id, entry]) => (entry === undefined ? [] : [[id, entry] as const])));
    },
  };
}

function countedBy(maker: string): string {
  const [principalKey = ""] = JSON.parse(maker) as readonly string[];
  return `tasks of:${sha256(holderOf(principalKey).user)}`;
}
