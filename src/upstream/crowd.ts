import type { StdioLimits } from "./life.ts";
import type { Holder } from "./place.ts";

/** Whose processes run, so that nobody keeps the others out. */
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

type Limits = Pick<StdioLimits, "children" | "childrenPerUser"> & { readonly childrenPerTenant: number };

/** Who has their share makes room among their own. Otherwise those who have as many: nobody loses one to who has more. */
export function createCrowd({ children, childrenPerTenant, childrenPerUser }: Limits): Crowd {
  const running: Holder[] = [];
  const countOf = (isIts: (one: Holder) => boolean) => running.filter(isIts).length;
  const ofTenant = (holder: Holder) => countOf(({ tenant }) => tenant === holder.tenant);

  return {
    ruleFor(holder) {
      const { tenant, person } = holder;
      const isPersons = (one: Holder) => one.tenant === tenant && one.person === person;
      const isTenants = (one: Holder) => one.tenant === tenant;
      if (person !== null && countOf(isPersons) >= childrenPerUser)
        return { reason: `the user's ${childrenPerUser} processes are in use`, mayGo: isPersons };
      if (tenant !== null && countOf(isTenants) >= childrenPerTenant)
        return { reason: `the tenant's ${childrenPerTenant} processes are in use`, mayGo: isTenants };
      if (running.length < children) return null;
      const own = tenant === null ? 0 : ofTenant(holder);
      return {
        reason: `all ${children} processes are in use`,
        mayGo: (other) => ofTenant(other) >= own,
      };
    },
    enter: (holder) => void running.push(holder),
    leave: (holder) => void running.splice(running.indexOf(holder), 1),
  };
}
