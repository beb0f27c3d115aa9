import { PortcullisError } from "../lib/errors.ts";

/** Virtual servers by name, each with the names of its upstreams. */
export type Servers = Readonly<Record<string, readonly string[]>>;

/** A target's name on a virtual server: plain where there is one upstream, else `upstream__name`. */
export function exposedName(upstreams: readonly string[], upstream: string, name: string): string {
  return upstreams.length === 1 ? name : `${upstream}__${name}`;
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
