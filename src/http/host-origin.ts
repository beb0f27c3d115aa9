import type { IncomingMessage } from "node:http";
import { isIP, type Socket } from "node:net";
import { PortcullisError } from "../lib/errors.ts";
import { isLoopback } from "../lib/loopback.ts";

export interface HostOriginOptions {
  /** The URL under which callers reach the gateway: its host and its origin are always served. */
  readonly publicUrl: string;
  /** Further values of `Host`, each as it is sent: `name` or `name:port`. */
  readonly allowedHosts: readonly string[];
  /** Web origins that may call, each as a browser sends it: `https://app.example`. */
  readonly allowedOrigins: readonly string[];
}

/** Checks where a request says it is going, and from which web page. */
export interface HostOriginChecks {
  /** Against DNS rebinding: a page's own host name, resolved to this machine, is not served. */
  checkHost(request: IncomingMessage): void;
  /** The same; but an address is no name that could be resolved to another, and scrapers ask by the pod's. */
  checkName(request: IncomingMessage): void;
  /** The web origin, where there is one; throws `origin_refused` unless it is allowed. */
  originOf(request: IncomingMessage): string | undefined;
}

export function createHostOriginChecks({
  publicUrl,
  allowedHosts,
  allowedOrigins,
}: HostOriginOptions): HostOriginChecks {
  const { host, hostname, port, protocol, origin } = new URL(publicUrl);
  const defaultPort = protocol === "https:" ? "443" : "80";
  const hosts = new Set([host, ...allowedHosts.map((allowed) => allowed.toLowerCase())]);
  if (port === "") hosts.add(`${hostname}:${defaultPort}`);
  const origins = new Set([origin, ...allowedOrigins]);
  const checkHost: HostOriginChecks["checkHost"] = ({ headers, socket }) => {
    const named = headers.host?.toLowerCase();
    if (named === undefined || (!hosts.has(named) && !isThisLoopback(named, socket))) {
      throw new PortcullisError("host_refused", { reason: named ?? "no Host" });
    }
  };
  return {
    checkHost,
    checkName(request) {
      const [name] = partsOf(request.headers.host ?? "");
      if (isIP(name.replace(/^\[(.*)\]$/, "$1")) === 0) checkHost(request);
    },
    originOf({ headers }) {
      const named = headers.origin;
      if (named !== undefined && !origins.has(named)) {
        throw new PortcullisError("origin_refused", { reason: named });
      }
      return named;
    },
  };
}

const LOOPBACK_NAMES = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** A loopback name and the port of a connection that really came over loopback. */
function isThisLoopback(named: string, { localAddress = "", localPort }: Socket): boolean {
  const [name, port] = partsOf(named);
  const local = localAddress.replace(/^::ffff:/, "");
  return LOOPBACK_NAMES.has(name) && port === String(localPort) && isLoopback(local);
}

function partsOf(host: string): readonly [name: string, port: string] {
  const [, name = "", port = "80"] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  return [name, port];
}
