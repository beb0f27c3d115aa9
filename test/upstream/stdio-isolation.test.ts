import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { afterEach, expect, test } from "vitest";
import type { Lease, UpstreamRequest } from "../../src/domain.ts";
import { type Log, silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import type { StdioUpstreamOptions } from "../../src/upstream/stdio.ts";
import { BASE_ENV, calling, closeAll, event, isRunning, onClose, stdioUpstream } from "./servers.ts";

const HELD = [resolve(import.meta.dirname, "held-server.mjs")];
const ANN = { tenant: "acme", user: "ann", person: "ann" };
const BOB = { tenant: "acme", user: "bob", person: "bob" };
const DEE = { tenant: "globex", user: "dee", person: "dee" };
const signal = new AbortController().signal;
afterEach(closeAll);

function held(isolation: StdioUpstreamOptions["isolation"], more: Partial<StdioUpstreamOptions> = {}) {
  return stdioUpstream(HELD, { isolation, era: "legacy", ...more });
}
type Held = ReturnType<typeof held>;

async function whoAnswers(upstream: Held, more: Partial<UpstreamRequest> = {}) {
  return JSON.parse((await upstream.request(calling("who", {}, more))).text);
}

async function pidOf(upstream: Held, more: Partial<UpstreamRequest> = {}): Promise<number> {
  return (await whoAnswers(upstream, more)).pid;
}

function leaseOf(secret: string, more: Partial<Lease> = {}): Lease {
  return {
    expires: Date.now() + 60_000,
    headers: new Map(),
    env: new Map([["TOKEN", new Secret(secret)]]),
    sha256: `sha of ${secret}`,
    revoke: async () => {},
    ...more,
  };
}

/** Its lease ends by a real timer of up to a second. */
const gone = (pid: number) => expect.poll(() => isRunning(pid)).toBe(false);

test("a shared child serves everybody, the gateway too", async () => {
  const upstream = held("shared");
  await upstream.identify(signal);
  const pids = [
    await pidOf(upstream, { who: ANN }),
    await pidOf(upstream, { who: DEE }),
    await pidOf(upstream),
  ];
  expect(new Set(pids).size).toBe(1);
});

test("two tenants never share a child, two users of one tenant do", async () => {
  const upstream = held("tenant");
  const [ann, bob, dee, own] = await Promise.all([
    pidOf(upstream, { who: ANN }),
    pidOf(upstream, { who: BOB }),
    pidOf(upstream, { who: DEE }),
    pidOf(upstream),
  ]);
  expect(ann).toBe(bob);
  expect(new Set([ann, dee, own]).size).toBe(3);
});

test("two users never share a child, nor do users of one name in two tenants", async () => {
  const upstream = held("user");
  const twin = { tenant: "globex", user: "ann", person: "ann" };
  const pids = await Promise.all([ANN, BOB, twin].map((who) => pidOf(upstream, { who })));
  expect(new Set(pids).size).toBe(3);
  expect(await pidOf(upstream, { who: ANN, sessionKey: "another session of ann's" })).toBe(pids[0]);
});

test("a child knows its client's capabilities only where it is held for one user", async () => {
  const clientCapabilities = { roots: {}, elicitation: { form: {} } };
  for (const isolation of ["shared", "tenant"] as const) {
    const { client } = await whoAnswers(held(isolation), { who: ANN, clientCapabilities });
    expect(client.capabilities).toEqual({});
  }
  const upstream = held("user");
  const { client, pid } = await whoAnswers(upstream, { who: ANN, clientCapabilities });
  expect(client.capabilities).toEqual(clientCapabilities);
  expect(await pidOf(upstream, { who: ANN, clientCapabilities: { roots: {} } })).not.toBe(pid);
});

test("a lease's secret reaches a child of its own, over the configured environment", async () => {
  const env = { ...BASE_ENV, TOKEN: "none", KEPT: "1" };
  const upstream = held("lease", { env });
  const first = await whoAnswers(upstream, { who: ANN, lease: leaseOf("one") });
  const second = await whoAnswers(upstream, { who: ANN, lease: leaseOf("two") });
  const other = await whoAnswers(upstream, { who: BOB, lease: leaseOf("one") });
  expect([first, second, other].map(({ env: { TOKEN } }) => TOKEN)).toEqual(["one", "two", "one"]);
  expect(first.env.KEPT).toBe("1");
  expect(new Set([first.pid, second.pid, other.pid]).size).toBe(3);
  expect((await whoAnswers(upstream)).env.TOKEN).toBe("none");
  expect(await pidOf(upstream, { who: ANN, lease: leaseOf("one") })).toBe(first.pid);
});

test("a lease's secret never enters a child that others share", async () => {
  for (const isolation of ["shared", "tenant", "user"] as const) {
    const request = held(isolation).request(calling("who", {}, { who: ANN, lease: leaseOf("one") }));
    await expect(request).rejects.toMatchObject({ code: "credential_refused" });
  }
  const anonymous = held("lease").request(
    calling("who", {}, { who: ANN, lease: leaseOf("one", { sha256: null }) }),
  );
  await expect(anonymous).rejects.toMatchObject({ code: "credential_refused" });
});

test("a lease that cannot travel to a child is refused, not left out", async () => {
  const header = new Map([["authorization", new Secret("Bearer one")]]);
  const certificate = { certificate: "PEM", key: new Secret("PEM") };
  for (const isolation of ["shared", "tenant", "user", "lease"] as const) {
    for (const lease of [
      leaseOf("one", { headers: header, env: new Map() }),
      leaseOf("one", { headers: header }),
      leaseOf("one", { certificate }),
      leaseOf("one", { env: new Map() }),
    ]) {
      const upstream = held(isolation);
      const asked = { who: ANN, lease };
      await expect(upstream.request(calling("who", {}, asked))).rejects.toMatchObject({
        code: "credential_refused",
      });
      const signal = AbortSignal.timeout(60_000);
      await expect(
        upstream.listen({ ...calling("who", {}, asked), signal, uris: [], onNotification() {} }),
      ).rejects.toMatchObject({
        code: "credential_refused",
      });
    }
    const bare = held(isolation).request(calling("who", {}, { who: ANN, credential: header }));
    await expect(bare).rejects.toMatchObject({ code: "credential_refused" });
  }
});

test("a lease's child ends with the lease, and a lease that is over starts none", async () => {
  let now = 0;
  const upstream = held("lease", { clock: () => now });
  const lease = leaseOf("brief", { expires: 1000 });
  const pid = await pidOf(upstream, { who: ANN, lease });
  now = 1000;
  await gone(pid);
  await expect(upstream.request(calling("who", {}, { who: ANN, lease }))).rejects.toMatchObject({
    code: "credential_unavailable",
  });
});

test("a lease that is revoked takes its child with it, and starts none any more", async () => {
  const upstream = held("lease");
  const revoked = new AbortController();
  const lease = leaseOf("revoked", { ended: revoked.signal });
  const pid = await pidOf(upstream, { who: ANN, lease });
  const other = await pidOf(upstream, { who: BOB, lease: leaseOf("kept") });
  revoked.abort();
  await gone(pid);
  await expect(upstream.request(calling("who", {}, { who: ANN, lease }))).rejects.toMatchObject({
    code: "credential_unavailable",
  });
  expect(isRunning(other)).toBe(true);
});

test("a child that waits for its place is not started once its lease is revoked", async () => {
  const said: string[] = [];
  const makesRoom = event();
  const log: Log = {
    ...silentLog,
    info(fields, message) {
      said.push(message);
      if ("stderr" in fields) makesRoom.resolve();
    },
  };
  const upstream = stdioUpstream([resolve(import.meta.dirname, "stubborn.mjs")], {
    isolation: "lease",
    era: "legacy",
    limits: { children: 1 },
    timeouts: { graceMs: 60_000 },
    log,
  });
  const pids = async (who: typeof ANN, lease: Lease): Promise<number[]> =>
    JSON.parse((await upstream.request(calling("pids", {}, { who, lease }))).text).pids;
  const [ann = 0] = await pids(ANN, leaseOf("of ann"));
  const over = new AbortController();
  const waiting = pids(BOB, leaseOf("of bob", { ended: over.signal }));
  await makesRoom.promise;
  over.abort();
  process.kill(ann, "SIGKILL");
  await expect(waiting).rejects.toMatchObject({ code: "upstream_unavailable" });
  await gone(ann);
  await delay(300);
  expect(said.filter((message) => message === "upstream answers")).toHaveLength(1);
});

test("a lease that was renewed keeps its child", async () => {
  let now = 0;
  const upstream = held("lease", { clock: () => now });
  const pid = await pidOf(upstream, { who: ANN, lease: leaseOf("same", { expires: 1000 }) });
  now = 900;
  const renewed = { who: ANN, lease: leaseOf("same", { expires: 2000 }) };
  expect(await pidOf(upstream, renewed)).toBe(pid);
  now = 1100;
  expect(await pidOf(upstream, renewed)).toBe(pid);
  now = 2000;
  await gone(pid);
});

test("one user's child ends with the last session that used it", async () => {
  const upstream = held("user");
  const pid = await pidOf(upstream, { who: ANN, sessionKey: "session 1" });
  await pidOf(upstream, { who: ANN, sessionKey: "session 2" });
  await upstream.release("session 1");
  expect(await pidOf(upstream, { who: ANN, sessionKey: "session 2" })).toBe(pid);
  await upstream.release("session 2");
  expect(isRunning(pid)).toBe(false);
});

test("what one tenant holds can be ended, and nothing of another's with it", async () => {
  const upstream = held("user");
  const [ann, bob, dee] = [
    await pidOf(upstream, { who: ANN }),
    await pidOf(upstream, { who: BOB }),
    await pidOf(upstream, { who: DEE }),
  ];
  await upstream.releaseWhere(({ tenant }) => tenant === "acme");
  await gone(ann);
  await gone(bob);
  expect(await pidOf(upstream, { who: DEE })).toBe(dee);
});

test("no line of a lease's secret is logged", async () => {
  const said: string[] = [];
  const logged = event();
  const log: Log = {
    ...silentLog,
    info(fields) {
      said.push(JSON.stringify(fields));
      if (said.filter((line) => line.includes("key:")).length === 3) logged.resolve();
    },
  };
  const lease = leaseOf("", {
    env: new Map([["KEY", new Secret("-----BEGIN\nc2VjcmV0IG9uZQ\nsecret-two")]]),
  });
  await held("lease", { log }).request(calling("leak", {}, { who: ANN, lease }));
  await logged.promise;
  expect(said.join()).not.toMatch(/c2Vj|secret-two|BEGIN/);
});

test("a secret that no environment can hold is not quoted in the refusal", async () => {
  const upstream = held("lease", { limits: { children: 1 } });
  for (const lease of [leaseOf("s3cret\0"), leaseOf("s3cret\0more")]) {
    const error = await upstream.request(calling("who", {}, { who: ANN, lease })).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "upstream_unavailable", cause: undefined });
    expect(`${inspect(error)}${error.stack}`).not.toContain("s3cret");
  }
  expect(await pidOf(upstream, { who: ANN })).toBeGreaterThan(0);
});

test("no more children than allowed: the one unused for longest makes room, one in use never does", async () => {
  const upstream = held("user", { limits: { children: 2 } });
  const ann = await pidOf(upstream, { who: ANN });
  const bob = await pidOf(upstream, { who: BOB });
  expect(await pidOf(upstream, { who: ANN })).toBe(ann);
  const dee = await pidOf(upstream, { who: DEE });
  await gone(bob);
  expect([ann, dee].map(isRunning)).toEqual([true, true]);
  const abort = new AbortController();
  const busy = [ANN, DEE].map((who) => upstream.request(calling("hold", {}, { who, signal: abort.signal })));
  await expect(upstream.request(calling("who", {}, { who: BOB }))).rejects.toMatchObject({
    code: "overloaded",
  });
  abort.abort();
  for (const one of busy) await expect(one).rejects.toMatchObject({ code: "cancelled" });
  expect(await pidOf(upstream, { who: BOB })).toBeGreaterThan(0);
});

test("a command that was not there for a while is no room for more children than allowed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "portcullis-"));
  onClose(() => rm(folder, { recursive: true }));
  const command = join(folder, "node");
  const upstream = held("user", { command, limits: { children: 1 } });
  for (const who of [ANN, BOB])
    await expect(upstream.request(calling("who", {}, { who }))).rejects.toMatchObject({ reason: "ENOENT" });
  // What is left of those that failed is closed by then.
  await delay(100);
  await symlink(process.execPath, command);
  const abort = new AbortController();
  const busy = upstream.request(calling("hold", {}, { who: ANN, signal: abort.signal }));
  await expect(upstream.request(calling("who", {}, { who: DEE }))).rejects.toMatchObject({
    code: "overloaded",
  });
  abort.abort();
  await expect(busy).rejects.toMatchObject({ code: "cancelled" });
});

test("a client that says something else of itself each time keeps no other user and no other tenant out", async () => {
  const share = (max: number) => max / 2;
  const upstream = held("user", { limits: { children: 8, childrenPerUser: 3 }, share });
  const abort = new AbortController();
  const busy = (who: typeof ANN, of: string) => {
    const more = { who, clientCapabilities: { experimental: { [of]: {} } }, signal: abort.signal };
    return upstream.request(calling("hold", {}, more)).catch(({ code, reason }) => `${code}: ${reason}`);
  };
  const run = { ...ANN, user: "a run of ann's", person: ANN.user };
  const anns = [busy(ANN, "a"), busy(ANN, "b"), busy(run, "a")];
  expect(await busy(run, "b")).toBe("overloaded: the user's 3 processes are in use");
  const bobs = busy(BOB, "a");
  expect(await busy(BOB, "b")).toBe("overloaded: the tenant's 4 processes are in use");
  expect(await pidOf(upstream, { who: DEE })).toBeGreaterThan(0);
  abort.abort();
  expect(await Promise.all([...anns, bobs])).toEqual(Array(4).fill(expect.stringContaining("cancelled")));
});

test("who has the most makes room: a tenant's processes end none of a tenant that has fewer", async () => {
  const upstream = held("user", { limits: { children: 3 } });
  const dee = await pidOf(upstream, { who: DEE });
  const ann = await pidOf(upstream, { who: ANN });
  await pidOf(upstream, { who: BOB });
  await pidOf(upstream, { who: { tenant: "acme", user: "cho", person: "cho" } });
  await gone(ann);
  expect(isRunning(dee)).toBe(true);
});

test("many at once stay within the limit", async () => {
  const upstream = held("user", { limits: { children: 3 } });
  const users = Array.from({ length: 9 }, (_, at) => ({
    tenant: "acme",
    user: `user ${at}`,
    person: `user ${at}`,
  }));
  const asked = await Promise.allSettled(users.map((who) => whoAnswers(upstream, { who })));
  const answered = asked.flatMap((one) => (one.status === "fulfilled" ? [one.value.pid] : []));
  expect(answered.filter(isRunning).length).toBeLessThanOrEqual(3);
  expect(answered.length).toBeGreaterThanOrEqual(3);
  for (const one of asked)
    if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "overloaded" });
});

test("a child without requests is ended, shared ones too, and started again on next use", async () => {
  const upstream = held("shared", { timeouts: { idleMs: 150 } });
  const pid = await pidOf(upstream);
  await gone(pid);
  const changed = event();
  upstream.onChange((what) => what === "tools" && changed.resolve());
  expect(await pidOf(upstream)).not.toBe(pid);
  // Its lists may have changed while nobody could say so.
  await changed.promise;
});

test("a call in flight keeps its child", async () => {
  const upstream = held("shared", { timeouts: { idleMs: 50 } });
  const late = upstream.request(calling("hold", {}, { timeoutMs: 400 }));
  await expect(late).rejects.toMatchObject({ code: "upstream_timeout" });
});

test("one user's crashing child makes no other user wait", async () => {
  const upstream = held("user", { timeouts: { restart: { firstMs: 60_000, maxMs: 60_000 } } });
  const crash = () => upstream.request(calling("crash", {}, { who: ANN }));
  const beside = upstream.request(calling("hold", {}, { who: ANN }));
  await expect(crash()).rejects.toMatchObject({ code: "upstream_unavailable" });
  await expect(beside).rejects.toMatchObject({ code: "upstream_unavailable" });
  await expect(crash()).rejects.toMatchObject({ reason: "ended with 3" });
  await expect(crash()).rejects.toMatchObject({ reason: expect.stringContaining("waiting") });
  expect(await pidOf(upstream, { who: BOB })).toBeGreaterThan(0);
});
