import type { ClientAnswer, ListenRequest, Question, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { memberOf, scalarIn } from "../lib/members.ts";
import type { Scope } from "./scope.ts";

/** A call in flight on a child. */
export interface Call {
  readonly asked: Pick<UpstreamRequest, "sessionKey" | "logLevel" | "onNotification" | "onQuestion">;
  readonly scope: Scope;
  /** What waits for its client to answer. */
  readonly questions: Set<AbortController>;
}

/** Those whom a child can reach: its calls in flight, and who listens beside them. */
export interface Hearers {
  readonly calls: Set<Call>;
  /** By session key. */
  readonly listeners: Map<string, ListenRequest>;
  /** A call is over, and with it what it was asked. */
  leave(call: Call): void;
  /** Passes on what belongs to no request by anything that it says. */
  tell(method: string, params: string): void;
  /** Rejects where nobody can be asked. */
  ask(question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

/** What a server says about a call that it is working on, if it works on one alone. */
const OF_A_CALL = new Set(["notifications/message", "notifications/elicitation/complete"]);

/** For a child that is held for one user. Whose call it is about, a child over stdio cannot say. */
export function createHearers(): Hearers {
  const calls = new Set<Call>();
  const listeners = new Map<string, ListenRequest>();

  function onlyCall(): Call["asked"] | undefined {
    return calls.size === 1 ? [...calls][0]?.asked : undefined;
  }

  function tell(method: string, params: string): void {
    const call = OF_A_CALL.has(method) ? onlyCall() : undefined;
    const hearers = call?.onNotification === undefined ? [...listeners.values()] : [call];
    for (const hearer of hearers)
      if (method !== "notifications/message" || isWanted(params, hearer.logLevel))
        hearer.onNotification?.(method, params);
  }

  /** The one call, or else the one who listens for whoever has calls in flight. */
  function askable(): Pick<Call["asked"], "onQuestion"> | undefined {
    const call = onlyCall();
    if (call !== undefined) return call;
    const asking = new Set([...calls].map(({ asked }) => asked.sessionKey));
    const able = [...listeners.values()].filter(
      ({ sessionKey, onQuestion }) =>
        onQuestion !== undefined && (asking.size === 0 || asking.has(sessionKey)),
    );
    return able.length === 1 ? able[0] : undefined;
  }

  function ask(question: Question, withdrawn: AbortSignal): Promise<ClientAnswer> {
    const asked = askable();
    if (asked?.onQuestion === undefined) return Promise.reject(new PortcullisError("cancelled"));
    const { onQuestion } = asked;
    const over = new AbortController();
    const signal = AbortSignal.any([withdrawn, over.signal]);
    const waiting = [...calls];
    const goOn = waiting.map(({ scope }) => scope.pause());
    for (const { questions } of waiting) questions.add(over);
    return new Promise<ClientAnswer>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new PortcullisError("cancelled")), { once: true });
      onQuestion(question, signal).then(resolve, reject);
    }).finally(() => {
      for (const letGoOn of goOn) letGoOn();
      for (const { questions } of waiting) questions.delete(over);
    });
  }

  return {
    calls,
    listeners,
    leave(call) {
      calls.delete(call);
      for (const question of call.questions) question.abort();
    },
    tell,
    ask,
  };
}

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** RFC 5424 severities. What has no known level is passed, and so is all where no level was asked for. */
function isWanted(params: string, least: string | undefined): boolean {
  if (least === undefined) return true;
  const level = LEVELS.indexOf(levelOf(params));
  return level === -1 || level >= LEVELS.indexOf(least);
}

function levelOf(params: string): string {
  try {
    return String(scalarIn(memberOf(params, "level")) ?? "");
  } catch {
    return "";
  }
}
