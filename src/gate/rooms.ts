import type { RefusalCounter } from "../audit/refusals.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { DecisionLog, Upstream } from "../domain.ts";
import type { IdentityStage } from "../identity/identity.ts";
import type { Clock } from "../lib/clock.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Metrics } from "../operation/metrics.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { Sessions } from "../protocol/sessions.ts";
import type { Capabilities } from "./capabilities.ts";

/** What configuration says of a virtual server. */
export interface ServerSettings {
  readonly title: string;
  /** Told to agents; "" for none. */
  readonly instructions: string;
}

/** The rooms, as the gate walks through them. */
export interface Rooms {
  readonly identity: Pick<IdentityStage, "authenticate" | "challenge">;
  readonly sessions: Sessions;
  readonly catalog: Pick<Catalog, "view">;
  readonly policies: Pick<PolicyStore, "current">;
  readonly capabilities: Capabilities;
  readonly log: DecisionLog;
  readonly refusals: RefusalCounter;
  readonly credentials: Pick<Credentials, "obtain">;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly servers: ReadonlyMap<string, ServerSettings>;
  /** Whether configuration gives a virtual server to a tenant. */
  mayUse(tenant: string, server: string): boolean;
  /** Milliseconds that an upstream may take for one request. */
  timeoutOf(upstream: string): number;
  readonly limits: { readonly page: number; readonly inFlight: number };
  readonly gatewayInfo: JsonObject;
  readonly metrics: Pick<Metrics, "decided" | "forwarded">;
  readonly clock: Clock;
  readonly operations: Log;
}
