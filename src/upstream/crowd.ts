import type { Holder } from "../domain.ts";
import { createCounts } from "../lib/counts.ts";

export const NOBODY: Holder = { tenant: null, user: null, person: null };

/** Who holds how many of what there are few of, processes or sessions, so that nobody keeps the others out. */
export interface Crowd {
  /** What has to be made room for first; null: there is room for one more of this holder's. */
  ruleFor(holder: Holder): Rule | null;
  enter(holder: Holder): void;
  leave(holder: Holder): void;
}

export interface Rule {
  /** Why there is no room, where nothing may go. */
  readonly reason: string;
  mayGo(other: Holder): boolean;
}

export interface CrowdLimits {
  /** What is counted, in the plural. */
  readonly of: string;
  readonly max: number;
  readonly perTenant: number;
  readonly perPerson: number;
}

/** Who has their share makes room among their own. Otherwise those who have as many: nobody loses one to who has more. */
export function createCrowd({ of, max, perTenant, perPerson }: CrowdLimits): Crowd {
  const tenants = createCounts<string | null>();
  const persons = createCounts<string>();
  let size = 0;

  function count(holder: Holder, change: 1 | -1): void {
    size += change;
    tenants.add(holder.tenant, change);
    persons.add(personOf(holder), change);
  }

  return {
    ruleFor(holder) {
      const { tenant, person } = holder;
      if (person !== null && persons.of(personOf(holder)) >= perPerson) {
        const mayGo = (other: Holder) => other.tenant === tenant && other.person === person;
        return { reason: `the user's ${perPerson} ${of} are in use`, mayGo };
      }
      if (tenant !== null && tenants.of(tenant) >= perTenant)
        return {
          reason: `the tenant's ${perTenant} ${of} are in use`,
          mayGo: (other) => other.tenant === tenant,
        };
      if (size < max) return null;
      const own = tenant === null ? 0 : tenants.of(tenant);
      return { reason: `all ${max} ${of} are in use`, mayGo: (other) => tenants.of(other.tenant) >= own };
    },
    enter: (holder) => count(holder, 1),
    leave: (holder) => count(holder, -1),
  };
}

/** A user of one name in two tenants is two persons. */
function personOf({ tenant, person }: Holder): string {
  return JSON.stringify([tenant, person]);
}
