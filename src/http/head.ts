import type { IncomingMessage } from "node:http";
import { PortcullisError } from "../lib/errors.ts";
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
    checkQuery(request);
    return originOf(request);
  };
}

/** A bearer token in a URL ends in histories and logs (RFC 9700, section 4.3.2). Express keeps the URL as it was sent. */
function checkQuery({ url = "", originalUrl = url }: IncomingMessage & { originalUrl?: string }): void {
  const start = originalUrl.indexOf("?");
  if (start === -1) return;
  for (const name of new URLSearchParams(originalUrl.slice(start)).keys()) {
    if (/^(access_)?token$/i.test(name)) throw new PortcullisError("token_in_query");
  }
}
