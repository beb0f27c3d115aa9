import type { ListedKind } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { readUri } from "../lib/uri.ts";

/** Virtual servers by name, each with the names of its upstreams. */
export type Servers = Readonly<Record<string, readonly string[]>>;

/** A target's name on a virtual server: plain where there is one upstream, else with the upstream in it. */
export function exposedName(
  upstreams: readonly string[],
  upstream: string,
  kind: ListedKind,
  name: string,
): string {
  if (upstreams.length === 1) return name;
  return kind === "tool" || kind === "prompt" ? `${upstream}__${name}` : withUpstream(upstream, name);
}

/** An upstream's URI on a virtual server; undefined for what is no URI, or would be none there. */
export function exposedUri(upstreams: readonly string[], upstream: string, uri: string): string | undefined {
  if (!upstreams.includes(upstream) || !readUri(uri).ok) return undefined;
  if (upstreams.length === 1) return uri;
  const exposed = withUpstream(upstream, uri);
  return readUri(exposed).ok ? exposed : undefined;
}

/** Whose a URI of a virtual server is, and how that upstream writes it. */
export function upstreamUri(
  upstreams: readonly string[],
  exposed: string,
): { readonly upstream: string; readonly uri: string } | undefined {
  const [only] = upstreams;
  if (only !== undefined && upstreams.length === 1) return { upstream: only, uri: exposed };
  const [start, app, other] = EXPOSED.exec(exposed) ?? [];
  if (start === undefined) return undefined;
  const upstream = upstreams.find((one) =>
    app === undefined ? prefixOf(one) === other?.toLowerCase() : one === app,
  );
  return upstream === undefined
    ? undefined
    : { upstream, uri: (app === undefined ? "" : APP) + exposed.slice(start.length) };
}

/** MCP Apps are told by their scheme, so it stays and the upstream stands before the host. */
const APP = "ui://";
const EXPOSED = /^(?:ui:\/\/([a-z0-9-]+)\.|([A-Za-z0-9-]+)\+)/;

/** `upstream+scheme:rest`: no name of an upstream has a plus, so the first one ends it. Of templates too. */
function withUpstream(upstream: string, uri: string): string {
  return uri.startsWith(APP) ? `${APP}${upstream}.${uri.slice(APP.length)}` : `${prefixOf(upstream)}+${uri}`;
}

/** A scheme begins with a letter, and no name of an upstream has two dashes in a row. */
function prefixOf(upstream: string): string {
  return /^[0-9]/.test(upstream) ? `x--${upstream}` : upstream;
}

/**
 * Refuses, before anything is discovered, what could let two targets have one name: with (`a__b`, `c`) and
 * (`a`, `b__c`) both would be `a__b__c`.
 */
export function checkServers(servers: Servers, known: ReadonlyMap<string, unknown>): void {
  for (const [server, upstreams] of Object.entries(servers)) {
    for (const [at, one] of upstreams.entries()) {
      if (!known.has(one)) throw refused(server, `there is no upstream "${one}"`);
      if (upstreams.indexOf(one) !== at) throw refused(server, `upstream "${one}" is named twice`);
      const clash = upstreams.find((other) => other !== one && `${one}__`.startsWith(`${other}__`));
      if (clash !== undefined)
        throw refused(server, `names of upstreams "${clash}" and "${one}" can collide`);
    }
  }
}

function refused(server: string, problem: string): PortcullisError {
  return new PortcullisError("internal", { reason: `virtual server "${server}": ${problem}` });
}
