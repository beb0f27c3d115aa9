import type { Identity, Who } from "../domain.ts";

/** Of an owner; `run` is "" where it is none. */
type Parts = Readonly<Record<"issuer" | "subject" | "tenant" | "run", string>>;

/** Who owns sessions, tasks and held calls: the user of this issuer in this tenant, or one run of that user. */
export function ownerOf(identity: Identity): string {
  return whoOf(identity).user;
}

/** Who owns the upstream sessions of a client session. */
export function sessionOwner(id: string): string {
  return `session ${id}`;
}

/** By whom is counted what an owner may hold: a user with all their runs, and their tenant. */
export function holderOf(owner: string): { readonly user: string; readonly tenant: string } {
  const { issuer, subject, tenant } = partsOf(owner);
  return { user: JSON.stringify([issuer, subject, tenant]), tenant: JSON.stringify([tenant]) };
}

/** The run that an owner is, or "". */
export function runOf(owner: string): string {
  return partsOf(owner).run;
}

/** The tenant in which an owner is a user. */
export function tenantOf(owner: string): string {
  return partsOf(owner).tenant;
}

function partsOf(owner: string): Parts {
  const [issuer = "", subject = "", tenant = "", run = ""] = JSON.parse(owner) as readonly string[];
  return { issuer, subject, tenant, run };
}

/** Whether something of this user in this tenant, and of this run or of none, is the owner's. */
export function ownedBy(owner: string, { issuer, subject, tenant, run }: Parts): boolean {
  return owner === JSON.stringify(run === "" ? [issuer, subject, tenant] : [issuer, subject, tenant, run]);
}

const known = new WeakMap<Identity, Who>();

/** For processes that are held apart by tenant or user. */
export function whoOf(identity: Identity): Who {
  const found = known.get(identity) ?? newWho(identity);
  known.set(identity, found);
  return found;
}

function newWho({ principal: { issuer, subject, tenant, run } }: Identity): Who {
  const user = JSON.stringify(run === null ? [issuer, subject, tenant] : [issuer, subject, tenant, run.id]);
  return { tenant, user, person: holderOf(user).user };
}
