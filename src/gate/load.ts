import type { Who } from "../domain.ts";
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
  enter(place: Place): void;
  /** @throws PortcullisError `overloaded` */
  admit(place: Place, who: Who): void;
  leave(place: Place): void;
}

/** A request among them. */
export interface Place {
  isIn: boolean;
  who: Who | null;
}

export function createLoad({ inFlight, perTenant, perUser }: LoadLimits): Load {
  const tenants = createCounts();
  const users = createCounts();
  let all = 0;

  return {
    enter(place) {
      place.isIn = true;
      all += 1;
      if (all > inFlight) throw new PortcullisError("overloaded");
    },
    admit(place, who) {
      place.who = who;
      const [ofTenant, ofUser] = [tenants.add(who.tenant), users.add(userOf(who))];
      if (ofUser > perUser) throw full(`the user's share of ${perUser}`);
      if (ofTenant > perTenant) throw full(`the tenant's share of ${perTenant}`);
    },
    leave(place) {
      if (!place.isIn) return;
      place.isIn = false;
      all -= 1;
      if (place.who === null) return;
      tenants.remove(place.who.tenant);
      users.remove(userOf(place.who));
    },
  };
}

function userOf({ user, person = user }: Who): string {
  return person;
}

function full(share: string): PortcullisError {
  return new PortcullisError("overloaded", { reason: `${share} is being answered` });
}

function createCounts() {
  const counts = new Map<string, number>();
  return {
    add(key: string): number {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return count;
    },
    remove(key: string): void {
      const count = (counts.get(key) ?? 0) - 1;
      if (count > 0) counts.set(key, count);
      else counts.delete(key);
    },
  };
}
