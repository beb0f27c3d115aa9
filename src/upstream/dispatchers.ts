import { type Dispatcher, Pool } from "undici";
import type { Lease } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { sha256 } from "../lib/json.ts";
import { LRUCache } from "../lib/lru.ts";
import { MAX_DELAY_MS } from "../lib/timers.ts";

export interface DispatchersOptions {
  readonly origin: string;
  /** Certificates of the upstream's own authority, PEM; absent: the system's. */
  readonly ca?: string;
  readonly connectMs: number;
  /** Most connections for calls, and for streams that stay open. */
  readonly connections: number;
  readonly streams: number;
  readonly clock: Clock;
}

/** Connections, kept apart by what they are for: streams that stay open must not leave calls without any. */
export interface Dispatchers {
  forCalls(lease: Lease | undefined): Dispatcher;
  forStreams(lease: Lease | undefined): Dispatcher;
  close(): Promise<void>;
}

interface Pair {
  readonly calls: Pool;
  readonly streams: Pool;
}

/** Client certificates in use at a time. */
const CERTIFICATES = 64;

/** A client certificate has connections of its own: a request under one lease never travels on another's. */
export function createDispatchers(options: DispatchersOptions): Dispatchers {
  const { origin, clock } = options;
  const common = open({});
  const own = new LRUCache<string, Pair>({ max: CERTIFICATES, dispose: end });

  function open(identity: { readonly cert?: string; readonly key?: string }): Pair {
    const tls = { ...identity, ...(options.ca !== undefined && { ca: options.ca }) };
    const kept = { connect: { timeout: options.connectMs, ...tls }, headersTimeout: 0, bodyTimeout: 0 };
    return {
      calls: new Pool(origin, { ...kept, connections: options.connections }),
      streams: new Pool(origin, { ...kept, connections: options.streams }),
    };
  }

  /** Calls that were sent may end; a stream would not, and is opened again with the next lease. */
  function end({ calls, streams }: Pair): void {
    calls.close().catch(() => {});
    streams.destroy().catch(() => {});
  }

  function pairOf(lease: Lease | undefined): Pair {
    if (lease?.env !== undefined)
      throw new PortcullisError("credential_refused", {
        reason: "no environment reaches an upstream with a URL",
      });
    return lease?.certificate === undefined ? common : certified(lease, lease.certificate);
  }

  function certified(lease: Lease, { certificate, key }: NonNullable<Lease["certificate"]>): Pair {
    if (!origin.startsWith("https:")) {
      throw new PortcullisError("credential_unavailable", {
        reason: "a client certificate needs an https upstream",
      });
    }
    const id = lease.sha256 ?? sha256(certificate);
    const known = own.get(id);
    if (known !== undefined) return known;
    const pair = open({ cert: certificate, key: key.reveal() });
    own.set(id, pair);
    const ms = Math.min(MAX_DELAY_MS, Math.max(0, lease.expires - clock()));
    setTimeout(() => own.get(id) === pair && own.delete(id), ms).unref();
    return pair;
  }

  return {
    forCalls: (lease) => pairOf(lease).calls,
    forStreams: (lease) => pairOf(lease).streams,
    async close() {
      const pairs = [common, ...own.values()];
      await Promise.all(pairs.flatMap(({ calls, streams }) => [calls.destroy(), streams.destroy()]));
      own.clear();
    },
  };
}
