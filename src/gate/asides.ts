import { setTimeout as sleep } from "node:timers/promises";
import type { ClientAnswer, Question, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Replicas } from "../protocol/replicas.ts";

type AskClient = NonNullable<UpstreamRequest["onQuestion"]>;

/** The session under this key at this upstream. */
export interface UpstreamSession {
  readonly sessionKey: string;
  readonly upstream: string;
}

/**
 * Calls in flight that may be asked something. A legacy server that asks beside its answers does so on the one stream of
 * its session, which may be held by another replica than the call.
 */
export interface Asides {
  /** A call is in flight. Gives how to leave. */
  join(session: UpstreamSession, ask: AskClient): () => void;
  /**
   * Puts a question to the only call that is in flight within that session, at whichever replica; undefined: there is
   * none, or more than one that it could be about.
   */
  ask(session: UpstreamSession, question: Question, signal: AbortSignal): Promise<ClientAnswer | undefined>;
}

const WHO = "who was asked";
const HERE = "asked here";
const ASIDE = "ask aside";
/** For every replica to say what it has. Milliseconds. */
const SAYING_MS = 250;
const LONGEST_MS = 600_000;

export function createAsides(
  replicas: Pick<Replicas, "node" | "broadcast" | "tell" | "onMessage" | "ask" | "serve">,
  newId: () => string,
): Asides {
  const calls = new Map<string, Set<AskClient>>();
  const polls = new Map<string, string[]>();

  replicas.onMessage(WHO, ({ key, poll }, from) => {
    const here = calls.get(String(key))?.size ?? 0;
    for (let at = 0; at < here; at += 1) replicas.tell(from, HERE, { poll: poll ?? null }).catch(() => {});
  });
  replicas.onMessage(HERE, ({ poll }, from) => void polls.get(String(poll))?.push(from));
  replicas.serve(ASIDE, async ({ key, question }, { signal }) => {
    const [only, ...others] = calls.get(String(key)) ?? [];
    if (only === undefined || others.length > 0 || !isJsonObject(question))
      throw new PortcullisError("cancelled");
    return { ...(await only(question as unknown as Question, signal)) };
  });

  /** The replica of each call within a session. */
  async function where(key: string): Promise<readonly string[]> {
    const poll = newId();
    const found: string[] = [];
    polls.set(poll, found);
    try {
      await replicas.broadcast(WHO, { key, poll });
      await sleep(SAYING_MS);
    } finally {
      polls.delete(poll);
    }
    return found;
  }

  return {
    join(session, ask) {
      const key = keyOf(session);
      const own: AskClient = (...asked) => ask(...asked);
      calls.set(key, (calls.get(key) ?? new Set()).add(own));
      return () => {
        const left = calls.get(key);
        left?.delete(own);
        if (left?.size === 0) calls.delete(key);
      };
    },
    async ask(session, question, signal) {
      const key = keyOf(session);
      const [only, ...others] = await where(key);
      if (only === undefined || others.length > 0) return undefined;
      const asked = { key, question: { ...question } };
      const reply = await replicas.ask(only, ASIDE, asked, { signal, timeoutMs: LONGEST_MS });
      return { kind: reply.kind === "result" ? "result" : "error", text: String(reply.text) };
    },
  };
}

function keyOf({ sessionKey, upstream }: UpstreamSession): string {
  return JSON.stringify([sessionKey, upstream]);
}
