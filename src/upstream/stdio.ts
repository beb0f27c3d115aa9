import type {
  Era,
  Holder,
  Listed,
  ListenRequest,
  Upstream,
  UpstreamReply,
  UpstreamRequest,
} from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { type Log, withFields } from "../lib/log.ts";
import type { Command } from "./child.ts";
import { type Asker, compartmentOf, type Isolation } from "./compartment.ts";
import { createCrowd } from "./crowd.ts";
import type { EraChoice } from "./era.ts";
import type { Kin, StdioLimits, StdioTimeouts } from "./life.ts";
import type { OrphanGuard } from "./orphans.ts";
import { createScope } from "./scope.ts";
import { createSeat, type Seat } from "./seat.ts";

export interface StdioUpstreamOptions extends Command {
  readonly name: string;
  readonly era: EraChoice;
  /** Which children are held apart. */
  readonly isolation: Isolation;
  /** The gateway's own `clientInfo`: what a child is told that has no client of its own. */
  readonly clientInfo: JsonObject;
  readonly timeouts?: Partial<StdioTimeouts>;
  readonly limits?: Partial<StdioLimits>;
  /** How many of so many processes one tenant may have; default: all. */
  readonly share?: (max: number) => number;
  readonly orphans: OrphanGuard;
  readonly log: Log;
  readonly clock: Clock;
}

const TIMEOUTS: StdioTimeouts = {
  connectMs: 10_000,
  graceMs: 2000,
  idleMs: 300_000,
  restart: { firstMs: 100, maxMs: 30_000 },
};
const LIMITS: StdioLimits = {
  children: 64,
  childrenPerUser: 16,
  answerBytes: 8 << 20,
  backlogBytes: 16 << 20,
};

/**
 * An upstream over stdio: a child for all callers, or for each tenant, user or lease.
 * The framing is our own, since the SDK's transport parses messages (it rounds big integers) and adds environment.
 */
export function createStdioUpstream(options: StdioUpstreamOptions): Upstream {
  const { name, isolation } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { ...LIMITS, ...options.limits };
  const listeners = new Set<(what: Listed) => void>();
  const seats = new Map<string, Seat>();
  const { share = (max: number) => max } = options;
  const { children, childrenPerUser } = limits;
  const crowd = createCrowd({
    of: "processes",
    max: children,
    perTenant: share(children),
    perPerson: childrenPerUser,
  });
  let closed = false;

  const kin: Kin = {
    ...options,
    timeouts,
    limits,
    log: withFields(options.log, { upstream: name }),
    era: {
      choice: options.era,
      learn(found: Era | undefined) {
        if (options.era === "auto") this.choice = found ?? "auto";
      },
    },
    enter,
    leave(holder) {
      crowd.leave(holder);
      sweep();
    },
    onChange(what) {
      for (const listener of listeners) listener(what);
    },
  };

  /** Ends the child unused for longest of those that may have to go, one that nobody watches a resource with if there is one. */
  async function enter(holder: Holder): Promise<void> {
    for (let rule = crowd.ruleFor(holder); rule !== null; rule = crowd.ruleFor(holder)) {
      const { reason, mayGo } = rule;
      const idle = [...seats.values()].filter((one) => one.idleSince !== undefined && mayGo(one.holder));
      const [first] = idle.sort(
        (a, b) => Number(a.isWatching) - Number(b.isWatching) || (a.idleSince ?? 0) - (b.idleSince ?? 0),
      );
      if (first === undefined) throw new PortcullisError("overloaded", { reason });
      await first.end();
    }
    crowd.enter(holder);
  }

  function sweep(): void {
    for (const [key, seat] of seats) if (seat.isVacant) seats.delete(key);
  }

  function seatOf(asker: Asker): Seat {
    if (closed) throw new PortcullisError("upstream_unavailable", { reason: "closed" });
    const compartment = compartmentOf(isolation, asker);
    const found = seats.get(compartment.key);
    if (found !== undefined) {
      // In the order of use: two uses within one millisecond have one time.
      seats.delete(compartment.key);
      seats.set(compartment.key, found);
      return found;
    }
    sweep();
    const seat = createSeat(compartment, kin);
    seats.set(compartment.key, seat);
    return seat;
  }

  async function request(asked: UpstreamRequest): Promise<UpstreamReply> {
    const scope = createScope(asked.signal, asked.timeoutMs);
    try {
      if (scope.error !== undefined) throw scope.error;
      return await seatOf(asked).request(asked, scope);
    } catch (error) {
      throw toPortcullisError(error);
    } finally {
      scope.close();
    }
  }

  /** With another lease or other capabilities it listens at another child than before. */
  async function listen(request: ListenRequest) {
    const listening = await seatOf(request).listen(request);
    for (const seat of seats.values()) seat.unlisten(request.sessionKey, request);
    return listening;
  }

  return {
    name,
    async identify(signal) {
      const scope = createScope(signal, 3 * timeouts.connectMs);
      try {
        return await seatOf({}).identify(scope);
      } finally {
        scope.close();
      }
    },
    request,
    async release(sessionKey) {
      await Promise.all([...seats.values()].map((seat) => seat.release(sessionKey)));
    },
    async releaseWhere(matches) {
      const found = [...seats.values()].filter(({ holder }) => matches(holder));
      await Promise.all(found.map((seat) => seat.close()));
    },
    async rootsChanged(sessionKey) {
      for (const seat of seats.values()) seat.rootsChanged(sessionKey);
    },
    listen,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      closed = true;
      await Promise.all([...seats.values()].map((seat) => seat.close()));
    },
  };
}
