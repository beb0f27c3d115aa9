import type { Who } from "../domain.ts";
import { createCounts } from "../lib/counts.ts";
import { PortcullisError } from "../lib/errors.ts";

/** Requests that may be answered at a time. */
export interface LoadLimits {
  readonly inFlight: number;
  /** Of these, a tenant's, and a user's with all their runs. */
  readonly perTenant: number;
  readonly perUser: number;
}

/** The requests that are being answered: nobody's slow calls keep the others out. */
export interface Load {
  /** One more request, by whom is not known yet. @throws PortcullisError `overloaded`; it counts until `leave` */
  enter(slot: Slot): void;
  /** @throws PortcullisError `overloaded` */
  admit(slot: Slot, who: Who): void;
  leave(slot: Slot): void;
}

/** A request among them. */
export interface Slot {
  isIn: boolean;
  who: Who | null;
}

export function createLoad({ inFlight, perTenant, perUser }: LoadLimits): Load {
  const tenants = createCounts<string>();
  const users = createCounts<string>();
  let all = 0;

  function count({ tenant, person }: Who, change: 1 | -1): void {
    tenants.add(tenant, change);
    users.add(person, change);
  }

  return {
    enter(slot) {
      slot.isIn = true;
      all += 1;
      if (all > inFlight) throw new PortcullisError("overloaded");
    },
    admit(slot, who) {
      slot.who = who;
      count(who, 1);
      if (users.of(who.person) > perUser) throw full(`the user's share of ${perUser}`);
      if (tenants.of(who.tenant) > perTenant) throw full(`the tenant's share of ${perTenant}`);
    },
    leave(slot) {
      if (!slot.isIn) return;
      slot.isIn = false;
      all -= 1;
      if (slot.who !== null) count(slot.who, -1);
    },
  };
}

function full(share: string): PortcullisError {
  return new PortcullisError("overloaded", { reason: `${share} is being answered` });
}
