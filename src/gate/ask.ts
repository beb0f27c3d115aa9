import type { Identity, PolicyContext, Revision, Who } from "../domain.ts";
import type { Cancellable } from "../lib/cancellation.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import type { Message, RequestMessage } from "../protocol/messages.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import type { Answer } from "./answer.ts";

/** What is known of a request so far. A refusal's record tells how far it came. */
export interface Seen {
  readonly server: string;
  readonly clientIp: string;
  /** Seconds: the one clock reading of this decision. */
  readonly now: number;
  readonly traceId: string;
  message?: Message;
  identity?: Identity;
  revision?: Revision;
}

/** One request that passed http, protocol and identity: what every verb of the gate works on. */
export interface Ask {
  readonly seen: Seen;
  readonly message: RequestMessage;
  readonly identity: Identity;
  /** One snapshot of the policies decides the whole request. */
  readonly policy: PolicyEngine;
  readonly context: PolicyContext;
  /** Of a legacy client; null where the era or the method has none. */
  readonly session: ClientSession | null;
  /** Who this is, for what belongs to a principal alone. */
  readonly principalKey: string;
  readonly who: Who;
  /** Whose upstream sessions it uses: the client session's, or the principal's where there is none. */
  readonly sessionKey: string;
  /** What the client said of itself, in this request or when it opened the session. */
  readonly clientInfo: RequestMessage["clientInfo"];
  readonly clientCapabilities: RequestMessage["clientCapabilities"];
  /** The least severe log message that the client wants to hear; undefined: it did not say. */
  readonly logLevel: string | undefined;
  header(name: string): string | undefined;
  /** It came over a pair of pipes, without headers that repeat the message. */
  readonly isLocal: boolean;
  /** Aborted when the client goes away or cancels. */
  readonly signal: Cancellable;
  readonly answer: Answer;
  /** From now on it waits rather than works: it is not counted as in flight any more. */
  rest(): void;
}
