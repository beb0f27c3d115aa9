import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import { Transients } from "../lib/transients.ts";
import { fileCopy, type LedgerCopy, sharedCopy } from "./copies.ts";
import { createLedger, type Suspension } from "./ledger.ts";

export type { Suspension } from "./ledger.ts";

/** What an operator orders. */
export type Order = Pick<Suspension, "tenant" | "reason" | "by">;

/** Tenants that are served nothing until that is lifted: the same on every replica, also after a restart. */
export interface Suspensions {
  /** @throws PortcullisError `tenant_suspended`; `store_unavailable` where nobody could say for too long */
  admit(tenant: string): void;
  /** In force here at once. Resolves when it is on disk and what was held here is let go; false: others were not told. */
  suspend(order: Order): Promise<boolean>;
  /**
   * The same, once `record` has put it on disk. Rejects with `store_unavailable`, and changes nothing, where others could
   * not be told.
   */
  resume(order: Order, record: () => Promise<void>): Promise<boolean>;
  /** Those in force, by tenant. */
  list(): readonly Suspension[];
  /** When this tenant was last suspended or served again, milliseconds since the epoch: what it held before is over. */
  changedAt(tenant: string): number;
  /** Calls back when a tenant is suspended, at whichever replica that was ordered. Returns how to stop. */
  onSuspend(listener: (tenant: string) => unknown): () => void;
  close(): Promise<void>;
}

export interface SuspensionsOptions {
  /** The file that outlives the process. */
  readonly path: string;
  readonly store: SharedStore;
  readonly seal: Seal;
  readonly clock: Clock;
  readonly log: Log;
  /** How often the copies are looked at, milliseconds. */
  readonly sweepMs?: number;
}

const CHANGED = "suspensions changed";
/** A message may be lost, and a connection come back. */
const SWEEP_MS = 1_000;
/** Whoever could not look for so long does not know who is suspended: nobody is served. */
const PATIENCE_MS = 30_000;
/** Writers of one copy at a time that one gives way to. */
const ATTEMPTS = 20;

/** @throws PortcullisError `internal` where the file cannot be understood */
export async function createSuspensions(options: SuspensionsOptions): Promise<Suspensions> {
  const { path, store, clock, log, sweepMs = SWEEP_MS } = options;
  const ledger = createLedger();
  const listeners = new Transients<(tenant: string) => unknown>();
  const file = fileCopy(path);
  const shared = sharedCopy({
    ...options,
    onWritten: () =>
      store.publish(CHANGED, "").catch((err: unknown) => log.warn({ err }, "replicas were not told")),
  });
  let confirmed = Number.NEGATIVE_INFINITY;
  let isLost = false;

  /** Resolves when what was held here for those that are suspended now is let go. */
  async function take(found: readonly Suspension[]): Promise<void> {
    const later = ledger.take(found);
    // What one copy told, the other must be told.
    if (later.length > 0) sync().catch(() => {});
    const ends = later
      .filter(({ lifted }) => !lifted)
      // Nobody's failure may keep the others from ending what they hold.
      .flatMap(({ tenant }) => listeners.values().map(async (listener) => listener(tenant)));
    for (const end of await Promise.allSettled(ends))
      if (end.status === "rejected") log.error({ err: end.reason }, "what a tenant held could not be ended");
  }

  async function agree(copy: LedgerCopy): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { found, version } = await copy.read();
      void take(found ?? []);
      if (found !== null && ledger.equals(found)) return;
      if (await copy.write(version, ledger.all())) return;
    }
    throw new PortcullisError("store_unavailable", { reason: "too many write suspensions at once" });
  }

  async function look(): Promise<{ readonly told: boolean }> {
    // What is found was true then: an order may overtake a slow answer.
    const began = clock();
    const [kept, told] = await Promise.allSettled([agree(file), agree(shared)]);
    const failed = [kept, told].find((one) => one.status === "rejected");
    if (failed === undefined) confirmed = began;
    else if (!isLost) log.error({ err: failed.reason }, "suspensions cannot be looked up");
    isLost = failed !== undefined;
    if (kept.status === "rejected") throw kept.reason;
    return { told: told.status === "fulfilled" };
  }

  let running: Promise<unknown> = Promise.resolve();
  let next: ReturnType<typeof look> | undefined;
  /** Whoever asks while one look is under way shares the next one. */
  function sync(): ReturnType<typeof look> {
    next ??= running.then(() => {
      next = undefined;
      const mine = look();
      running = mine.catch(() => {});
      return mine;
    });
    return next;
  }

  function order({ tenant, reason, by }: Order, lifted: boolean) {
    // Later than what it answers, whichever clock that was read from.
    const at = Math.max(clock(), (ledger.get(tenant)?.at ?? 0) + 1);
    const ended = take([{ tenant, lifted, reason, by, at }]);
    return Promise.all([sync(), ended]).then(([{ told }]) => told);
  }

  await sync();
  const deaf = await store.subscribe(CHANGED, () => void sync().catch(() => {}));
  const timer = setInterval(() => void sync().catch(() => {}), sweepMs).unref();

  return {
    admit(tenant) {
      const known = ledger.get(tenant);
      if (known !== undefined && !known.lifted) throw suspended(known);
      if (clock() - confirmed <= PATIENCE_MS) return;
      throw new PortcullisError("store_unavailable", {
        reason: "nobody could say which tenants are suspended",
      });
    },
    suspend: (one) => order(one, false),
    async resume(one, record) {
      if (!(await sync()).told)
        throw new PortcullisError("store_unavailable", {
          reason: "the store does not answer: nothing was lifted",
        });
      await record();
      return order(one, true);
    },
    list: () => ledger.all().filter(({ lifted }) => !lifted),
    changedAt: (tenant) => ledger.get(tenant)?.at ?? 0,
    onSuspend: (listener) => listeners.add(listener),
    async close() {
      clearInterval(timer);
      await deaf();
      await (next ?? running).catch(() => {});
    },
  };
}

function suspended({ by, at, reason }: Suspension): PortcullisError {
  const why = reason === "" ? "" : `: ${reason}`;
  return new PortcullisError("tenant_suspended", {
    reason: `suspended by ${by} at ${new Date(at).toISOString()}${why}`,
  });
}
