import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Replicas } from "../protocol/replicas.ts";
import type { Conversation, Listener } from "./conversation.ts";
import { lostCall, STATE_MS } from "./resume.ts";
import { type Turn, turnFromJson, turnToJson } from "./turn.ts";

/** Calls that wait for their client's next request, which may arrive at any replica. */
export interface Held {
  readonly node: string;
  /** @throws PortcullisError `overloaded` */
  keep(id: string, owner: string, conversation: Conversation): void;
  /** Goes on with a call, wherever it is held. */
  resume(at: { node: string; call: string; responses: JsonObject }, listener: Listener): Promise<Turn>;
  close(): void;
}

const MAX = 1000;
const MAX_PER_OWNER = 16;

interface Entry {
  readonly owner: string;
  readonly conversation: Conversation;
  readonly until: number;
}

export function createHeld(replicas: Replicas, clock: Clock): Held {
  const entries = new Map<string, Entry>();

  const sweeping = setInterval(sweep, 10_000).unref();

  function sweep(): void {
    for (const [id, { conversation, until }] of entries) {
      if (until > clock()) continue;
      entries.delete(id);
      conversation.abandon();
    }
  }

  async function go(call: string, responses: JsonObject, listener: Listener): Promise<Turn> {
    const entry = entries.get(call);
    if (entry === undefined) return { kind: "failure", error: lostCall() };
    entries.delete(call);
    entry.conversation.resume(responses);
    const turn = await entry.conversation.next(listener);
    if (turn.kind === "questions") entries.set(call, { ...entry, until: clock() + STATE_MS });
    return turn;
  }

  replicas.serve("resume", async ({ call, responses }, { event, signal }) => {
    if (typeof call !== "string" || !isJsonObject(responses)) throw new PortcullisError("internal");
    const notify = (method: string, params: string) => event({ method, params });
    return turnToJson(await go(call, responses, { notify, signal }));
  });

  return {
    node: replicas.node,
    keep(id, owner, conversation) {
      const owned = [...entries.values()].filter((entry) => entry.owner === owner).length;
      if (entries.size >= MAX || owned >= MAX_PER_OWNER) {
        conversation.abandon();
        throw new PortcullisError("overloaded", { reason: "too many calls wait for answers" });
      }
      entries.set(id, { owner, conversation, until: clock() + STATE_MS });
    },
    async resume({ node, call, responses }, listener) {
      if (node === replicas.node) return go(call, responses, listener);
      try {
        const reply = await replicas.ask(
          node,
          "resume",
          { call, responses },
          {
            signal: listener.signal,
            timeoutMs: STATE_MS,
            onEvent: ({ method, params }) => listener.notify(String(method), String(params)),
          },
        );
        return turnFromJson(reply);
      } catch (thrown) {
        return { kind: "failure", error: toPortcullisError(thrown) };
      }
    },
    close() {
      clearInterval(sweeping);
      for (const { conversation } of entries.values()) conversation.abandon();
      entries.clear();
    },
  };
}
