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
/** A task takes a place for each so many characters that are begun: its arguments may be as long as a body. */
const PLACE = 16 << 10;
const MAX_PER_USER = 1000;
/** Places of all, of which a tenant has its share: half a gigabyte, at 16 KiB each. */
const MOST_PLACES = 32_000;

/** `share`: how many of so many places one tenant may have. */
export function createTasks(
  store: SharedStore,
  seal: Seal,
  share: (max: number) => number,
  clock: Clock,
): Tasks {
  const setOf = (maker: string) => `tasks:${sha256(maker)}`;
  const keyOf = (maker: string, taskId: string) => `task:${sha256(JSON.stringify([maker, taskId]))}`;

  async function find(maker: string, taskId: string): Promise<TaskEntry | undefined> {
    const key = keyOf(maker, taskId);
    const text = await store.get(key);
    const entry = text === undefined ? undefined : seal.open(key, text, clock());
    return isJsonObject(entry) ? (entry as unknown as TaskEntry) : undefined;
  }

  /** false: one of those by whom it is counted has no room. */
  async function place(maker: string, key: string, length: number, isNew: boolean): Promise<boolean> {
    const { user, tenant } = holdersOf(maker);
    const caps = [
      { set: `tasks of:${sha256(user)}`, max: MAX_PER_USER },
      { set: `tasks in:${sha256(tenant)}`, max: share(MOST_PLACES) },
      { set: "tasks of all", max: MOST_PLACES },
    ];
    const taken: (readonly [string, string])[] = [];
    for (const { set, max } of caps)
      for (let at = 0; at * PLACE < length; at += 1) {
        const member = `${key} ${at}`;
        if (await store.join(set, member, LIFE_MS, max)) taken.push([set, member]);
        else {
          // What is kept already stays counted.
          if (isNew) await Promise.all(taken.map(([of, one]) => store.leave(of, one)));
          return false;
        }
      }
    return true;
  }

  return {
    find,
    async keep(maker, taskId, entry) {
      const known = await find(maker, taskId);
      if (known !== undefined && known.upstream !== entry.upstream)
        throw new PortcullisError("upstream_protocol", { reason: "two upstreams gave one task id" });
      const key = keyOf(maker, taskId);
      const sealed = seal.seal(key, { ...entry }, clock() + LIFE_MS);
      if (!(await place(maker, key, sealed.length, known === undefined)))
        throw new PortcullisError("overloaded", { reason: "too many tasks are kept" });
      await store.join(setOf(maker), taskId, LIFE_MS, MAX_PER_USER);
      await store.set(key, sealed, LIFE_MS);
    },
    async all(maker) {
      const ids = [...(await store.members(setOf(maker)))].sort();
      const found = await Promise.all(ids.map(async (id) => [id, await find(maker, id)] as const));
      return new Map(found.flatMap(([id, entry]) => (entry === undefined ? [] : [[id, entry] as const])));
    },
  };
}

function holdersOf(maker: string) {
  const [principalKey = ""] = JSON.parse(maker) as readonly string[];
  return holderOf(principalKey);
}
