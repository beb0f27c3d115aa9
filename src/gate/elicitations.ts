import type { SharedStore } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, sha256 } from "../lib/json.ts";
import type { Replicas } from "../protocol/replicas.ts";
import { holderOf } from "./principal.ts";

/** Pages that legacy clients were told to open, so that they hear when it was done (MCP 2025-11-25, URL elicitation). */
export interface Elicitations {
  /** This session of a principal is told so; any other error: nothing waits. A user's oldest makes way for the newest. */
  waits(session: string, principalKey: string, error: PortcullisError): Promise<void>;
  /** Tells the session that waits for it, and no other. */
  complete(id: string): Promise<void>;
  /** Calls back with what the session waited for, at the replica that holds its stream. Returns how to stop. */
  onComplete(session: string, listener: (id: string) => void): () => void;
}

/** The life of a page, and of what is done on it. */
const LIFE_MS = 1_200_000;
/** Each call that lacks an account is told another page. */
const MAX_PER_USER = 100;
const COMPLETE = "elicitation complete";

export function createElicitations(
  store: Pick<SharedStore, "get" | "set" | "delete" | "join" | "leave" | "members">,
  replicas: Pick<Replicas, "broadcast" | "onMessage">,
): Elicitations {
  // A session's id is as good as the session: the store is given its digest.
  const keyOf = (id: string): string => `elicitation ${sha256(id)}`;

  /** false: others of the same user took the room at that moment. */
  async function place(key: string, user: string): Promise<boolean> {
    const set = `elicitations of ${sha256(user)}`;
    const join = () => store.join(set, key, LIFE_MS, MAX_PER_USER);
    if (await join()) return true;
    const [oldest] = await store.members(set);
    if (oldest !== undefined) await Promise.all([store.leave(set, oldest), store.delete(oldest)]);
    return join();
  }

  return {
    async waits(session, principalKey, { code, data }) {
      if (code !== "account_required" || !Array.isArray(data?.elicitations)) return;
      for (const asked of data.elicitations) {
        const id = isJsonObject(asked) ? asked.elicitationId : undefined;
        if (typeof id === "string" && (await place(keyOf(id), holderOf(principalKey).user)))
          await store.set(keyOf(id), sha256(session), LIFE_MS);
      }
    },
    async complete(id) {
      const session = await store.get(keyOf(id));
      if (session === undefined) return;
      await store.delete(keyOf(id));
      await replicas.broadcast(COMPLETE, { session, id });
    },
    onComplete(session, listener) {
      const own = sha256(session);
      return replicas.onMessage(COMPLETE, (message) => {
        if (message.session === own && typeof message.id === "string") listener(message.id);
      });
    },
  };
}
