import type { Config } from "../config/config.ts";
import type { Clock } from "../lib/clock.ts";
import type { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Closing } from "./closing.ts";

/** What the rooms are made from. */
export interface Ground {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The gateway's own name and version. */
  readonly info: JsonObject;
  /** The URL of a virtual server, and the audience of its tokens. */
  urlOf(server: string): string;
  onFatal(error: PortcullisError): void;
  readonly log: Log;
  readonly clock: Clock;
  readonly closing: Closing;
}
