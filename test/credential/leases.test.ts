import { inspect } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import type { LeaseScope } from "../../src/credential/held-lease.ts";
import { createLeaseCache, type LeaseCacheOptions } from "../../src/credential/leases.ts";
import type { MintedLease } from "../../src/credential/source.ts";
import type { LeaseEntry } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { Secret } from "../../src/lib/secret.ts";
import { timerLists } from "../timer-lists.ts";
import { event } from "../upstream/servers.ts";
import { handClock } from "./support.ts";

/** The lease cache over a source that keeps account of what it gave and what was given back. */
function world(capacity = 10, changes: Partial<LeaseCacheOptions> = {}) {
  const clock = handClock();
  const warnings: unknown[] = [];
  const log = { debug() {}, info() {}, error() {}, warn: (...said: unknown[]) => void warnings.push(said) };
  const entries: LeaseEntry[] = [];
  const cache = createLeaseCache({
    clock,
    log,
    capacity,
    random: () => 0,
    onLease: (entry) => void entries.push(entry),
    outdated: () => null,
    ...changes,
  });
  const leases = {
    ...cache,
    obtain: (key: string, mint: () => Promise<MintedLease>, tenant = "acme") =>
      cache.obtain({ tenant, key, scope: () => ({ ...scopeOf(key), tenant }), decision: "d1" }, mint),
  };
  const revoked: string[] = [];
  let minted = 0;
  const mint = async (): Promise<MintedLease> => {
    minted += 1;
    const id = `lease-${minted}`;
    return {
      expires: clock() + 60_000,
      headers: new Map([["authorization", new Secret(id)]]),
      sha256: id,
      async revoke() {
        revoked.push(id);
        return "revoked";
      },
    };
  };
  return { clock, leases, mint, revoked, warnings, entries, minted: () => minted };
}

function scopeOf(subject: string): LeaseScope {
  const revision = { platform: "p1", tenant: "" };
  const whose = { tenant: "acme", issuer: "https://idp.example", subject, run: "" };
  return { ...whose, source: "crm", role: "", upstream: "crm", server: "support", revision };
}

test("a failure is told to all who wait and not kept, and is on record", async () => {
  const { leases, mint, entries } = world();
  let attempts = 0;
  const failing = async (): Promise<MintedLease> => {
    attempts += 1;
    throw new PortcullisError("credential_unavailable");
  };
  const results = await Promise.allSettled([leases.obtain("a", failing), leases.obtain("a", failing)]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(attempts).toBe(1);
  expect(entries).toMatchObject([
    {
      event: "mint_failed",
      decision: "d1",
      subject: "a",
      lease_sha256: "",
      reason: "credential_unavailable",
    },
  ]);
  expect((await leases.obtain("a", mint)).sha256).toBe("lease-1");
});

test("a foreign failure, which may carry the secret, is told without it", async () => {
  const { leases } = world();
  const foreign = Object.assign(new TypeError("token hunter2"), {
    code: "ECONNRESET",
    request: { headers: { "X-Vault-Token": "hunter2" } },
  });
  const error: unknown = await leases.obtain("a", () => Promise.reject(foreign)).catch((thrown) => thrown);
  expect(error).toMatchObject({
    code: "credential_unavailable",
    reason: "the credential source failed: TypeError",
  });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
});

test("when there is no more room the lease unused for longest is revoked", async () => {
  const { leases, mint, revoked } = world(2);
  await leases.obtain("a", mint);
  await leases.obtain("b", mint);
  await leases.obtain("a", mint);
  await leases.obtain("c", mint);
  expect(revoked).toEqual(["lease-2"]);
  expect((await leases.obtain("a", mint)).sha256).toBe("lease-1");
});

test("room is never made by ending a lease that a call works with", async () => {
  const { leases, mint, revoked } = world(1);
  const used = await leases.obtain("a", mint);
  const done = used.hold?.();
  await leases.obtain("b", mint, "globex");
  expect(revoked).toEqual([]);
  done?.();
  expect(revoked).toEqual([used.sha256]);
});

test("a tenant that wants more than there is room for makes it with its own leases", async () => {
  const { leases, mint, revoked, entries } = world(4);
  const globex = [await leases.obtain("g1", mint, "globex"), await leases.obtain("g2", mint, "globex")];
  for (let index = 0; index < 20; index += 1) await leases.obtain(`a${index}`, mint);
  expect(revoked).toHaveLength(18);
  const ended = entries.filter(({ event }) => event !== "minted").map(({ tenant }) => tenant);
  expect(new Set(ended)).toEqual(new Set(["acme"]));
  expect(await leases.obtain("g1", mint, "globex")).toBe(globex[0]);
  expect(await leases.obtain("g2", mint, "globex")).toBe(globex[1]);
});

test("a tenant that comes late finds room where one had taken it all", async () => {
  const { leases, mint, entries } = world(4);
  for (let index = 0; index < 4; index += 1) await leases.obtain(`a${index}`, mint);
  for (let index = 0; index < 4; index += 1) await leases.obtain(`g${index}`, mint, "globex");
  const ended = entries.filter(({ event }) => event !== "minted").map(({ subject }) => subject);
  expect(ended).toEqual(["a0", "a1", "g0", "g1"]);
});

test("a lease that has expired is not revoked to make room: it ended by itself", async () => {
  const { leases, mint, revoked, clock } = world(1);
  await leases.obtain("a", mint);
  clock.advance(61);
  await leases.obtain("b", mint);
  expect(revoked).toEqual([]);
});

test("revoking an old lease does not drop the new one of the same key", async () => {
  const { leases, mint, clock, minted } = world();
  const old = await leases.obtain("a", mint);
  clock.advance(58);
  const fresh = await leases.obtain("a", mint);
  await old.revoke();
  expect(await leases.obtain("a", mint)).toBe(fresh);
  expect(minted()).toBe(2);
});

test("close revokes every lease, also one that arrives late", async () => {
  const { leases, mint, revoked } = world();
  await leases.obtain("a", mint);
  let arrive = () => {};
  const slow = leases.obtain("b", async () => {
    await new Promise<void>((resolve) => {
      arrive = resolve;
    });
    return mint();
  });
  const refused = expect(slow).rejects.toMatchObject({ code: "shutting_down" });
  const closing = leases.close();
  arrive();
  await closing;
  await refused;
  expect(revoked.sort()).toEqual(["lease-1", "lease-2"]);
});

test("once it is closed nothing is tried again: neither what was under way nor what arrives after that", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { leases, mint } = world();
  const answers: ((error: Error) => void)[] = [];
  const revoke = vi.fn(() => new Promise<never>((_, reject) => answers.push(reject)));
  const { promise: late, resolve: arrive } = event();
  await leases.obtain("a", async () => ({ ...(await mint()), revoke }));
  leases.obtain("b", () => late.then(async () => ({ ...(await mint()), revoke }))).catch(() => {});
  const closing = leases.close();
  await vi.advanceTimersByTimeAsync(10_000);
  await closing;
  arrive();
  await vi.waitFor(() => expect(revoke).toHaveBeenCalledTimes(2));
  for (const reject of answers) reject(new Error("its server is away"));
  await vi.advanceTimersByTimeAsync(50_000);
  expect(revoke).toHaveBeenCalledTimes(2);
});

test("a revocation that fails is noted without its cause, which may show the secret", async () => {
  const { leases, mint, warnings } = world();
  await leases.obtain("a", async () => ({
    ...(await mint()),
    revoke: () => Promise.reject(new Error("X-Vault-Token: hunter2")),
  }));
  await leases.close();
  expect(warnings).toHaveLength(1);
  expect(inspect(warnings, { depth: 9 })).not.toContain("hunter2");
});

test("what is retired is handed out no more, and revoked when the last call that works with it is done", async () => {
  const { leases, mint, revoked } = world();
  const [held, idle] = [await leases.obtain("held", mint), await leases.obtain("idle", mint)];
  const done = [held.hold?.(), held.hold?.()];
  leases.retireWhere(() => true, "the policies changed");
  expect(revoked).toEqual([idle.sha256]);
  expect((await leases.obtain("held", mint)).sha256).not.toBe(held.sha256);
  done[0]?.();
  done[0]?.();
  expect(revoked).toEqual([idle.sha256]);
  done[1]?.();
  expect(revoked).toEqual([idle.sha256, held.sha256]);
});

test("what is retired while it is minted serves who waits for it, and then ends", async () => {
  const { leases, mint, revoked } = world();
  const pending = leases.obtain("a", mint);
  leases.retireWhere(() => true, "the policies changed");
  const lease = await pending;
  const done = lease.hold?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(revoked).toEqual([]);
  done?.();
  expect(revoked).toEqual([lease.sha256]);
});

test("what is asked for after its policies are gone serves who asked, and then ends", async () => {
  const { leases, mint, revoked, entries } = world(10, { outdated: () => "the policies changed" });
  const lease = await leases.obtain("a", mint);
  const done = lease.hold?.();
  const next = await leases.obtain("a", mint);
  expect(next).not.toBe(lease);
  await new Promise((resolve) => setImmediate(resolve));
  expect(revoked).toEqual([next.sha256]);
  done?.();
  expect(revoked).toEqual([next.sha256, lease.sha256]);
  expect(entries.at(-1)).toMatchObject({ event: "revoked", reason: "the policies changed" });
});

/** A log that is slow to write a mint, or cannot. */
function heldLog() {
  let settle = { resolve: () => {}, reject: (_: unknown) => {} };
  const onLease = ({ event }: LeaseEntry) =>
    event === "minted"
      ? new Promise<void>((resolve, reject) => {
          settle = { resolve, reject };
        })
      : undefined;
  return { onLease, settle: () => settle };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("nobody is handed a lease before its minting is on record", async () => {
  const log = heldLog();
  const { leases, mint, minted } = world(10, log);
  let handed = 0;
  const asked = ["a", "a", "a"].map((key) => leases.obtain(key, mint).then(() => (handed += 1)));
  await turn();
  asked.push(leases.obtain("a", mint).then(() => (handed += 1)));
  await turn();
  expect([handed, minted()]).toEqual([0, 1]);
  log.settle().resolve();
  await Promise.all(asked);
  expect([handed, minted()]).toEqual([4, 1]);
});

test("a lease whose minting cannot be recorded is revoked and handed to nobody", async () => {
  const log = heldLog();
  const { leases, mint, revoked } = world(10, log);
  const refused = expect(leases.obtain("a", mint)).rejects.toMatchObject({ code: "audit_unavailable" });
  await turn();
  log.settle().reject(new PortcullisError("audit_unavailable"));
  await refused;
  expect(revoked).toEqual(["lease-1"]);
});

test("what is revoked while its minting is recorded is counted once and handed to nobody", async () => {
  const log = heldLog();
  const { leases, mint, revoked } = world(10, log);
  const refused = expect(leases.obtain("a", mint)).rejects.toMatchObject({ code: "credential_refused" });
  await turn();
  const ending = leases.revokeWhere(() => true, "the run was ended");
  log.settle().resolve();
  expect(await ending).toBe(1);
  await refused;
  expect(revoked).toEqual(["lease-1"]);
});

test("what its source ended while its minting was recorded is handed to nobody who comes later", async () => {
  const log = heldLog();
  const { leases, mint, minted } = world(10, log);
  let gone = () => {};
  const onGone = (listener: () => void) => {
    gone = listener;
  };
  const first = leases.obtain("a", async () => ({ ...(await mint()), onGone }));
  await turn();
  gone();
  log.settle().resolve();
  await first;
  const second = leases.obtain("a", mint);
  await turn();
  log.settle().resolve();
  expect(await second).not.toBe(await first);
  expect(minted()).toBe(2);
});

test("that a token was not accepted is told to whoever gave it, which is not asked when it only ends", async () => {
  const { leases, mint } = world();
  const rejected = vi.fn();
  const source = async () => ({ ...(await mint()), rejected });
  await leases.obtain("a", source);
  await leases.revokeWhere(() => true, "the run was ended");
  expect(rejected).not.toHaveBeenCalled();
  const lease = await leases.obtain("a", source);
  await lease.revoke();
  expect(rejected).toHaveBeenCalledOnce();
});

test("a lease that has come to its longest life is not renewed again, however long it is held", async () => {
  const { leases, mint, clock } = world();
  const expires = clock() + 60;
  const renew = vi.fn(async () => ({ expires }));
  const lease = await leases.obtain("a", async () => ({ ...(await mint()), expires, renew }));
  lease.hold?.();
  clock.advance(0.045);
  await vi.waitFor(() => expect(renew).toHaveBeenCalledTimes(1));
  clock.advance(0.012);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(renew).toHaveBeenCalledTimes(1);
});

test.each(["revoked", "retired"] as const)(
  "who works with a lease that is %s is told when it ends",
  async (how) => {
    const { leases, mint } = world();
    const { ended, hold } = await leases.obtain("a", mint);
    const done = hold?.();
    if (how === "revoked") await leases.revokeWhere(() => true, "the run was ended");
    else leases.retireWhere(() => true, "the policies changed");
    expect(ended?.aborted).toBe(how === "revoked");
    done?.();
    expect(ended?.aborted).toBe(true);
  },
);

test("leases that were revoked early leave nothing that waits for their expiry", async () => {
  const { leases, mint, clock } = world(1000);
  const before = timerLists();
  for (let at = 0; at < 100; at += 1)
    await leases.obtain(`k${at}`, async () => ({ ...(await mint()), expires: clock() + 600_000 + at }));
  expect(await leases.revokeWhere(() => true, "over")).toBe(100);
  expect(timerLists() - before).toBeLessThan(10);
});
