import type { RefusalCounter } from "../audit/refusals.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { DecisionLog, Principal, Upstream } from "../domain.ts";
import type { IdentityStage } from "../identity/identity.ts";
import type { Clock } from "../lib/clock.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import type { Metrics } from "../operation/metrics.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { EventStore } from "../protocol/events.ts";
import type { Replicas } from "../protocol/replicas.ts";
import type { Sessions } from "../protocol/sessions.ts";
import type { Asides } from "./asides.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Elicitations } from "./elicitations.ts";
import type { Held } from "./held.ts";
import type { LoadLimits } from "./load.ts";
import type { Outboxes } from "./outbox.ts";
import type { Questions } from "./questions.ts";
import type { Streams } from "./streams.ts";
import type { Tasks } from "./task-store.ts";

/** What configuration says of a virtual server. */
export interface ServerSettings {
  readonly title: string;
  /** Told to agents; "" for none. */
  readonly instructions: string;
}

/** Who is served at all, before any policy is asked. */
export interface Admission {
  /** @throws PortcullisError `tenant_suspended`, `store_unavailable` */
  check(principal: Principal): void;
  /** Calls back when this principal is to be served no more: its run is over, its tenant suspended. Returns how to stop. */
  onEnd(principal: Principal, end: () => void): () => void;
}

/** The rooms, as the gate walks through them. */
export interface Rooms {
  readonly identity: Pick<IdentityStage, "authenticate" | "challenge">;
  readonly sessions: Sessions;
  readonly events: Pick<EventStore, "append" | "after">;
  readonly streams: Streams;
  readonly outboxes: Outboxes;
  readonly questions: Questions;
  /** null: there is one replica, whose upstream legs know what a question is about. */
  readonly asides: Asides | null;
  readonly held: Held;
  readonly elicitations: Elicitations;
  readonly tasks: Tasks;
  readonly replicas: Replicas;
  readonly seal: Seal;
  readonly catalog: Pick<Catalog, "view">;
  readonly policies: Pick<PolicyStore, "current">;
  readonly capabilities: Capabilities;
  readonly decisions: DecisionLog;
  readonly refusals: RefusalCounter;
  readonly credentials: Pick<Credentials, "obtain">;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly servers: ReadonlyMap<string, ServerSettings>;
  /** Whether configuration gives a virtual server to a tenant. */
  mayUse(tenant: string, server: string): boolean;
  /** Milliseconds that an upstream may take for one request. */
  timeoutOf(upstream: string): number;
  readonly limits: { readonly page: number } & LoadLimits;
  readonly gatewayInfo: JsonObject;
  /** Calls back when what a virtual server shows may have changed: its catalog or the policies. Returns how to stop. */
  onChange(server: string, listener: () => void): () => void;
  readonly admission: Admission;
  /** Unguessable. */
  newId(): string;
  readonly metrics: Pick<Metrics, "decided" | "forwarded">;
  readonly clock: Clock;
  readonly log: Log;
}
