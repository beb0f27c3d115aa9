import type { UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import type { EraChoice } from "./era.ts";

type Credential = ReadonlyMap<string, Secret>;

export interface NegotiationOptions {
  readonly era: EraChoice;
  /** The gateway's own. */
  credential(): Promise<Credential>;
  /** Who answers in the modern era; undefined when whoever answers does not speak it. */
  probe(credential: Credential): Promise<UpstreamIdentity | undefined>;
  /** Who answers in the legacy era. */
  identify(credential: Credential): Promise<UpstreamIdentity>;
  readonly log: Log;
}

/** Which server answers, and in which era; remembered until there is reason to think that it is another one. */
export interface Negotiation {
  /** undefined: nobody knows now. */
  readonly found: UpstreamIdentity | undefined;
  /** Finds out if need be, once for all who wait. */
  identified(): Promise<UpstreamIdentity>;
  forget(): void;
}

export function createNegotiation({
  era,
  credential,
  probe,
  identify,
  log,
}: NegotiationOptions): Negotiation {
  let found: UpstreamIdentity | undefined;
  let finding: Promise<UpstreamIdentity> | undefined;

  async function negotiate(): Promise<UpstreamIdentity> {
    const own = await credential();
    const modern = era === "legacy" ? undefined : await probe(own);
    if (modern === undefined && era === "modern") {
      throw new PortcullisError("upstream_protocol", { reason: "it does not speak MCP 2026-07-28" });
    }
    found = modern ?? (await identify(own));
    log.info({ era: found.era, version: found.protocolVersion }, "upstream answers");
    return found;
  }

  return {
    get found() {
      return found;
    },
    async identified() {
      if (found !== undefined) return found;
      finding ??= negotiate().finally(() => {
        finding = undefined;
      });
      return finding;
    },
    forget() {
      found = undefined;
    },
  };
}
