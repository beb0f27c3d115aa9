import type { IncomingMessage } from "node:http";
import { checkUnambiguous } from "./headers.ts";
import { createHostOriginChecks, type HostOriginOptions } from "./host-origin.ts";

/** What is asked of a head that may bring a token, at the guarded URLs and beside them. Gives the web origin it came from. */
export function createHeadCheck(
  options: HostOriginOptions,
): (request: IncomingMessage) => string | undefined {
  const { checkHost, originOf } = createHostOriginChecks(options);
  return (request) => {
    checkUnambiguous(request);
    checkHost(request);
    return originOf(request);
  };
}
