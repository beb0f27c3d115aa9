import type { Identity, Who } from "../domain.ts";

/** Of a key; `run` is "" where it is of none. */
type Parts = Readonly<Record<"issuer" | "subject" | "tenant" | "run", string>>;

/** Whose sessions, tasks and held calls are: the user of this issuer in this tenant, or one run of that user. */
export function principalKeyOf(identity: Identity): string {
  return whoOf(identity).user;
}

/** Under which a client session has its upstream sessions. */
export function sessionKeyOf(id: string): string {
  return `session ${id}`;
}

/** By whom is counted what a principal may hold: a user with all their runs, and their tenant. */
export function holderOf(principalKey: string): { readonly user: string; readonly tenant: string } {
  const { issuer, subject, tenant } = partsOf(principalKey);
  return { user: JSON.stringify([issuer, subject, tenant]), tenant: JSON.stringify([tenant]) };
}

/** The run that it is the key of, or "". */
export function runOf(principalKey: string): string {
  return partsOf(principalKey).run;
}

/** The tenant in which its user acts. */
export function tenantOf(principalKey: string): string {
  return partsOf(principalKey).tenant;
}

function partsOf(principalKey: string): Parts {
  const [issuer = "", subject = "", tenant = "", run = ""] = JSON.parse(principalKey) as readonly string[];
  return { issuer, subject, tenant, run };
}

/** Whether it is the key of this user in this tenant, and of this run or of none. */
export function isKeyOf(principalKey: string, { issuer, subject, tenant, run }: Parts): boolean {
  return (
    principalKey === JSON.stringify(run === "" ? [issuer, subject, tenant] : [issuer, subject, tenant, run])
  );
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
