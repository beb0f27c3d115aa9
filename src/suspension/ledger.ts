import { isJsonObject, type Json } from "../lib/json.ts";

/** The last word on a tenant: that it is suspended, or that this was lifted. */
export interface Suspension {
  readonly tenant: string;
  readonly lifted: boolean;
  readonly reason: string;
  /** The operating system's name of the operator, as their command said. */
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What is known of every tenant that ever was suspended. Replicas that know the same words come to the same ledger. */
export interface Ledger {
  get(tenant: string): Suspension | undefined;
  /** By tenant. */
  all(): readonly Suspension[];
  /** Takes what is later than what is known, and gives it. */
  take(found: readonly Suspension[]): readonly Suspension[];
  /** Whether it says the same. */
  equals(found: readonly Suspension[]): boolean;
}

export function createLedger(): Ledger {
  const words = new Map<string, Suspension>();
  const all = () => [...words.values()].sort((a, b) => (a.tenant < b.tenant ? -1 : 1));

  return {
    get: (tenant) => words.get(tenant),
    all,
    take(found) {
      const later = found.filter((one) => isLater(one, words.get(one.tenant)));
      for (const one of later) words.set(one.tenant, one);
      return later;
    },
    equals: (found) =>
      found.length === words.size && !found.some((one) => differs(one, words.get(one.tenant))),
  };
}

/** Of two at one time, the one that suspends. */
function isLater(one: Suspension, known: Suspension | undefined): boolean {
  if (known === undefined || one.at !== known.at) return one.at > (known?.at ?? Number.NEGATIVE_INFINITY);
  return known.lifted && !one.lifted;
}

function differs(one: Suspension, known: Suspension | undefined): boolean {
  return one.at !== known?.at || one.lifted !== known.lifted;
}

/** Throws for what is no list of them: a word that is not understood may be one that suspends. */
export function readSuspensions(value: unknown): readonly Suspension[] {
  if (!Array.isArray(value)) throw new Error("not a list of suspensions");
  return value.map((one: unknown) => {
    if (!isJsonObject(one)) throw new Error("a suspension is not an object");
    const { tenant, lifted, reason, by, at } = one;
    if (typeof tenant !== "string" || typeof lifted !== "boolean" || typeof at !== "number")
      throw new Error("a suspension lacks its tenant, whether it is lifted, or its time");
    return { tenant, lifted, reason: String(reason ?? ""), by: String(by ?? ""), at };
  });
}

export function suspensionsJson(all: readonly Suspension[]): Json {
  return all.map((one) => ({ ...one }));
}
