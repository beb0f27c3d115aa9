import type { Identity, PolicyContext } from "../domain.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import type { RequestMessage } from "../protocol/messages.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import type { Answer } from "./answer.ts";
import type { Seen } from "./records.ts";

/** One request that passed http, protocol and identity: what every verb of the gate works on. */
export interface Ask {
  readonly seen: Seen;
  readonly message: RequestMessage;
  readonly identity: Identity;
  /** One snapshot of the policies decides the whole request. */
  readonly policy: PolicyEngine;
  readonly context: PolicyContext;
  /** null: a modern request, or initialize. */
  readonly session: ClientSession | null;
  /** Whose upstream sessions these requests use: the client session, or the principal where there is none. */
  readonly owner: string;
  header(name: string): string | undefined;
  readonly signal: AbortSignal;
  readonly answer: Answer;
}
