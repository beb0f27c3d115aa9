import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Replicas } from "../protocol/replicas.ts";
import type { Conversation, Listener } from "./conversation.ts";
import { holderOf } from "./principal.ts";
import { STATE_MS, type Turn, turnFromJson, turnToJson } from "./turn.ts";

/** Where a call waits, and what its client says to it. */
interface Place {
  readonly node: string;
  readonly call: string;
  readonly responses: JsonObject;
}

/** Calls that wait for their client's next request, which may arrive at any replica. */
export interface Held {
  readonly node: string;
  /**
   * A user's oldest makes way for the newest: a client that never came back must not keep its user from calling.
   *
   * @throws PortcullisError `overloaded`
   */
  keep(id: string, principalKey: string, conversation: Conversation): void;
  /** Goes on with a call, wherever it is held. Never rejects. */
  resume(at: Place, listener: Listener): Promise<Turn>;
  /** Ends those held here whose principal matches. */
  drop(matches: (principalKey: string) => boolean): void;
  readonly size: number;
  close(): void;
}

/** All in all, each with its request upstream. */
export const MOST_HELD = 1000;
const MAX_PER_USER = 16;
const SWEEP_MS = 10_000;

interface Entry {
  readonly principalKey: string;
  readonly holder: ReturnType<typeof holderOf>;
  readonly conversation: Conversation;
  /** No end while a request listens: that one's own is its end. */
  until: number;
  /** A request of its client listens to it. It keeps its place: it may ask again. */
  isHeard: boolean;
}

/** `share`: how many of so many one tenant may hold. */
export function createHeld(
  replicas: Pick<Replicas, "node" | "ask" | "serve" | "tell">,
  share: (max: number) => number,
  clock: Clock,
): Held {
  /** Least recently told first. */
  const entries = new Map<string, Entry>();
  const sweeping = setInterval(() => endWhere(({ until }) => until <= clock()), SWEEP_MS).unref();

  function endWhere(isOver: (entry: Entry) => boolean): void {
    for (const [id, entry] of entries) if (isOver(entry)) end(id, entry);
  }

  function end(id: string, { conversation }: Entry): void {
    entries.delete(id);
    conversation.abandon();
  }

  function makeRoom({ user, tenant }: Entry["holder"]): void {
    const own = [...entries].filter(([, { holder }]) => holder.user === user);
    if (own.length >= MAX_PER_USER) {
      const oldest = own.find(([, { isHeard }]) => !isHeard);
      if (oldest === undefined) throw full();
      end(...oldest);
    }
    const tenants = [...entries.values()].filter(({ holder }) => holder.tenant === tenant);
    if (entries.size >= MOST_HELD || tenants.length >= share(MOST_HELD)) throw full();
  }

  async function go(call: string, responses: JsonObject, listener: Listener): Promise<Turn> {
    const entry = entries.get(call);
    if (entry === undefined || entry.isHeard) return { kind: "failure", error: lostCall() };
    Object.assign(entry, { isHeard: true, until: Number.POSITIVE_INFINITY });
    entry.conversation.resume(responses);
    const turn = await entry.conversation.next(listener);
    // Whoever ended it meanwhile took it out.
    if (!entries.delete(call) || turn.kind !== "questions") return turn;
    entries.set(call, { ...entry, isHeard: false, until: clock() + STATE_MS });
    return turn;
  }

  replicas.serve("resume", async ({ call, responses }, { event, signal }) => {
    if (typeof call !== "string" || !isJsonObject(responses)) throw new PortcullisError("internal");
    const notify = (method: string, params: string) => event({ method, params });
    return turnToJson(await go(call, responses, { notify, signal }));
  });

  return {
    node: replicas.node,
    keep(id, principalKey, conversation) {
      const holder = holderOf(principalKey);
      try {
        makeRoom(holder);
      } catch (error) {
        conversation.abandon();
        throw error;
      }
      entries.set(id, { principalKey, holder, conversation, isHeard: false, until: clock() + STATE_MS });
    },
    resume: (at, listener) =>
      at.node === replicas.node ? go(at.call, at.responses, listener) : resumeThere(replicas, at, listener),
    drop: (matches) => endWhere(({ principalKey }) => matches(principalKey)),
    get size() {
      return entries.size;
    },
    close() {
      clearInterval(sweeping);
      endWhere(() => true);
    },
  };
}

async function resumeThere(
  replicas: Pick<Replicas, "node" | "ask" | "tell">,
  { node, ...request }: Place,
  { signal, notify }: Listener,
): Promise<Turn> {
  const onEvent = ({ method, params }: JsonObject) => notify(String(method), String(params));
  try {
    return turnFromJson(
      await replicas.ask(node, "resume", request, { signal, timeoutMs: STATE_MS, onEvent }),
    );
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    const isGone = error.code === "store_unavailable" && (await isStoreThere(replicas));
    return { kind: "failure", error: isGone ? lostCall() : error };
  }
}

/** Then it is the other replica that is gone, and its calls with it. */
function isStoreThere(replicas: Pick<Replicas, "node" | "tell">): Promise<boolean> {
  return replicas.tell(replicas.node, "nothing", {}).then(
    () => true,
    () => false,
  );
}

function full(): PortcullisError {
  return new PortcullisError("overloaded", { reason: "too many calls wait for answers" });
}

function lostCall(): PortcullisError {
  return new PortcullisError("state_invalid", { reason: "the call that asked has ended" });
}
