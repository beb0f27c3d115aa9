import { describe, expect, test } from "vitest";
import { PortcullisError } from "../../src/lib/errors.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { readRunRequest } from "../../src/runs/request.ts";
import type { Run } from "../../src/runs/run.ts";
import { aReplica, audience, EPOCH, own } from "./world.ts";

const CREATED = {
  targets: null,
  accounts: null,
  description: "",
  created: EPOCH,
  client: "agent",
};

test("a run is answered with its token, its end and what it is narrowed to", async () => {
  const gate = await aReplica();
  const { token, id, ...run } = await gate.begin(await own(gate.issuer), {
    ttl: 120,
    servers: ["support"],
    targets: ["refund", { upstream: "crm", kind: "tool", name: "lookup" }],
    accounts: ["github"],
    description: "answer ticket 7",
  });
  expect(id).toMatch(/^[\w-]{22}$/);
  expect(token.length).toBeLessThan(400);
  expect(run).toEqual({
    ...CREATED,
    expires: EPOCH + 120,
    servers: ["support"],
    targets: [{ name: "refund" }, { upstream: "crm", kind: "tool", name: "lookup" }],
    accounts: ["github"],
    description: "answer ticket 7",
  });
});

test("a run is its user, with the run and the client that began it", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer, { roles: ["support"], auth_time: EPOCH - 5, team: "red" });
  const { id, token, expires } = await gate.begin(user);
  const { principal, tenant, expires: until } = await gate.who(token);
  expect(principal).toMatchObject({
    kind: "user",
    issuer: gate.issuer.issuer,
    subject: "ann",
    tenant: "acme",
    roles: ["support"],
    scopes: ["mcp"],
    client: "agent",
    actor: "agent",
    auth_time: EPOCH - 5,
    attributes: { team: "red" },
    run: { id, expires },
  });
  expect(tenant.id).toBe("acme");
  expect(until).toBe(expires);
});

test("the same run is the same principal, so that what is cached by it holds", async () => {
  const gate = await aReplica();
  const { token } = await gate.begin(await own(gate.issuer));
  expect(await gate.who(token)).toBe(await gate.who(token));
});

test("without choices a run has what the user's token is good for, for ten minutes", async () => {
  const gate = await aReplica();
  const day = { exp: EPOCH + 86_400 };
  const wide = await gate.begin(await own(gate.issuer, day));
  expect(wide).toMatchObject({ ...CREATED, expires: EPOCH + 600, servers: ["support", "files"] });
  const narrow = await gate.begin(await own(gate.issuer, { ...day, aud: audience("files") }));
  expect(narrow.servers).toEqual(["files"]);
  const both = await own(gate.issuer, {
    ...day,
    aud: [audience("files"), audience("support"), "https://other"],
  });
  expect((await gate.begin(both)).servers).toEqual(["support", "files"]);
});

test("a run lives no longer than the token that began it", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer, { exp: EPOCH + 90 });
  const { token, expires } = await gate.begin(user, { ttl: 600 });
  expect(expires).toBe(EPOCH + 90);
  gate.clock.advance(89);
  expect(await gate.outcome(token)).toBe("in");
  gate.clock.advance(1);
  expect(await gate.outcome(token)).toBe("token_expired");
  // The user's own is still taken, within the tolerance of clocks; there is nothing left to give.
  expect((await gate.post(user, {})).code).toBe("token_expired");
});

test("a user lists their own runs, and ends one", async () => {
  const gate = await aReplica();
  const [ann, bob] = [await own(gate.issuer), await own(gate.issuer, { sub: "bob" })];
  const first = await gate.begin(ann, { description: "first" });
  const second = await gate.begin(ann, { description: "second" });
  await gate.begin(bob);
  const listed = await gate.list(ann);
  expect(listed.map(({ description }) => description).sort()).toEqual(["first", "second"]);
  expect(JSON.stringify(listed)).not.toContain("token");
  expect((await gate.end(ann, first.id)).status).toBe(204);
  expect(await gate.outcome(first.token)).toBe("run_ended");
  expect(await gate.outcome(second.token)).toBe("in");
  expect(await gate.list(ann)).toMatchObject([{ id: second.id }]);
  expect((await gate.end(ann, first.id)).code).toBe("run_unknown");
});

test("a run that is over is no longer listed", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer);
  await gate.begin(user, { ttl: 5 });
  gate.clock.advance(6);
  expect(await gate.list(user)).toEqual([]);
});

test("an admin lists and ends the runs of their own tenant, and of no other", async () => {
  const gate = await aReplica();
  const run = await gate.begin(await own(gate.issuer));
  const other = await gate.begin(await own(gate.issuer, { sub: "dee", tenant: "globex" }));
  const admin = await own(gate.issuer, { sub: "eve", roles: ["auditor"] });
  expect(await gate.list(admin, "?of=tenant")).toMatchObject([
    { id: run.id, user: { issuer: gate.issuer.issuer, subject: "ann" } },
  ]);
  expect((await gate.end(admin, other.id)).code).toBe("run_unknown");
  expect((await gate.end(admin, run.id)).status).toBe(204);
  expect([await gate.outcome(run.token), await gate.outcome(other.token)]).toEqual(["run_ended", "in"]);
});

test("all runs of a tenant that match can be ended at once", async () => {
  const gate = await aReplica();
  const [ann, bob, dee] = [
    await gate.begin(await own(gate.issuer)),
    await gate.begin(await own(gate.issuer, { sub: "bob" })),
    await gate.begin(await own(gate.issuer, { sub: "ann", tenant: "globex" })),
  ];
  expect(await gate.runs.endWhere("acme", ({ principal }) => principal.subject === "ann")).toBe(1);
  const outcomes = await Promise.all([ann, bob, dee].map(({ token }) => gate.outcome(token)));
  expect(outcomes).toEqual(["run_ended", "in", "in"]);
});

test("roles are as they were; the tenant's record and the directory are as they are", async () => {
  const gate = await aReplica();
  const attributes = { desk: 7 };
  const principals = [{ issuer: gate.issuer.issuer, subject: "ann", tenant: "acme", attributes }];
  gate.directory.replace({ tenants: new Map([["acme", { limit: 1 }]]), principals });
  const { token } = await gate.begin(await own(gate.issuer, { roles: ["support"], team: "red" }));
  expect((await gate.who(token)).principal.attributes).toEqual({ team: "red", desk: 7 });
  gate.directory.replace({ tenants: new Map([["acme", { limit: 2 }]]) });
  const later = await gate.who(token);
  expect(later.tenant.limit).toBe(2);
  expect(later.principal.attributes).toEqual({ team: "red" });
  expect(later.principal.roles).toEqual(["support"]);
  gate.directory.replace({ tenants: new Map() });
  expect(await gate.outcome(token)).toBe("tenant_unknown");
});

test("beginning and ending are on record with the run, refusals with their reason; a token is in none", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer);
  const { id, token } = await gate.begin(user, { servers: ["support"], accounts: [] });
  await gate.post(user, { servers: ["secret"] });
  await gate.ask("GET", "/runs?of=tenant", user);
  await gate.end(user, id);
  await gate.end(user, id);
  await gate.post(undefined, {});
  expect(gate.decisions).toMatchObject([
    {
      method: "runs/create",
      effect: "allow",
      code: "ok",
      server: "",
      principal: { subject: "ann", run: null },
      arguments: {
        run: id,
        subject: "ann",
        servers: ["support"],
        targets: null,
        accounts: [],
        expires: EPOCH + 600,
      },
    },
    { method: "runs/create", effect: "deny", code: "run_refused", reasons: ['not good for "secret"'] },
    { method: "runs/list", effect: "deny", code: "run_refused", reasons: ["not an admin of runs"] },
    { method: "runs/delete", effect: "allow", arguments: { run: id } },
    { method: "runs/delete", effect: "deny", code: "run_unknown" },
  ]);
  expect(gate.counted).toMatchObject([{ method: "runs/create", principal: null, code: "token_missing" }]);
  expect(JSON.stringify([gate.decisions, gate.counted])).not.toContain(token);
});

test("an admin's look at everybody's runs is on record before it is answered", async () => {
  const gate = await aReplica();
  const admin = await own(gate.issuer, { roles: ["auditor"] });
  await gate.list(admin);
  expect(gate.decisions, "a user's at their own is not").toEqual([]);
  await gate.list(admin, "?of=tenant");
  expect(gate.decisions).toMatchObject([
    { method: "runs/list", effect: "allow", arguments: { of: "tenant" } },
  ]);
  gate.decisions.push = () => {
    throw new Error("disk full");
  };
  expect((await gate.ask("GET", "/runs?of=tenant", admin)).status).toBe(500);
});

test("what cannot be recorded does not begin", async () => {
  const gate = await aReplica();
  gate.decisions.push = () => {
    throw new Error("disk full");
  };
  const user = await own(gate.issuer);
  expect((await gate.post(user, {})).status).toBe(500);
  expect(await gate.list(user)).toEqual([]);
});

test("before it is recorded there is no run, and one that could not be takes nobody's place", async () => {
  const { runs } = await aReplica({ section: { per_user: 1 } });
  const claimed = plainPrincipal({
    kind: "user",
    issuer: "https://idp.example",
    subject: "ann",
    tenant: "acme",
  });
  const begin = (record: (run: Run) => Promise<void>) =>
    runs.begin(
      { claimed, expires: EPOCH + 3600, servers: ["support"] },
      readRunRequest({}, { max_ttl: 600 }),
      record,
    );
  await expect(begin(() => Promise.reject(new Error("disk full")))).rejects.toThrow("disk full");
  const { run } = await begin(async ({ id }) => expect(await runs.find(id)).toBeUndefined());
  expect(await runs.find(run.id)).toEqual(run);
});

test("a run that was begun before its tenant was suspended is over, whatever the store says", async () => {
  let over = 0;
  const gate = await aReplica({ overBefore: () => over });
  const user = await own(gate.issuer);
  const { token } = await gate.begin(user);
  expect(await gate.outcome(token)).toBe("in");
  gate.clock.advance(2);
  over = gate.clock();
  expect(await gate.outcome(token)).toBe("run_ended");
  expect(await gate.list(user)).toEqual([]);
  const next = await gate.begin(user);
  expect(await gate.outcome(next.token)).toBe("in");
});

test("a tenant that is not served begins and lists no run, also where that was ordered while the body came", async () => {
  let served = 0;
  const gate = await aReplica({
    admit() {
      served -= 1;
      if (served < 0) throw new PortcullisError("tenant_suspended");
    },
  });
  const user = await own(gate.issuer);
  expect(await gate.ask("GET", "/runs", user)).toMatchObject({ code: "tenant_suspended" });
  served = 1;
  expect(await gate.post(user, {})).toMatchObject({ code: "tenant_suspended" });
  served = 1;
  expect(await gate.list(user)).toEqual([]);
});

describe("limits", () => {
  test("a user has only so many runs at a time, and another's do not count", async () => {
    const gate = await aReplica({ section: { per_user: 2 } });
    const user = await own(gate.issuer);
    const first = await gate.begin(user, { ttl: 10 });
    await gate.begin(user);
    expect(await gate.post(user, {})).toMatchObject({ status: 429, code: "too_many_runs" });
    await gate.begin(await own(gate.issuer, { tenant: "globex" }));
    await gate.begin(await own(gate.issuer, { sub: "bob" }));
    await gate.end(user, first.id);
    await gate.begin(user);
  });

  test("of many that begin at once no more than that many do", async () => {
    const gate = await aReplica({ section: { per_user: 3 } });
    const user = await own(gate.issuer);
    const all = await Promise.all(Array.from({ length: 12 }, () => gate.post(user, {})));
    expect(all.filter(({ status }) => status === 201)).toHaveLength(3);
    expect(await gate.list(user)).toHaveLength(3);
  });

  test("a user begins only so many a minute; the refusals are counted, not written one by one", async () => {
    const gate = await aReplica({ section: { per_minute: 2 } });
    const user = await own(gate.issuer);
    const first = await gate.begin(user);
    await gate.begin(user);
    await gate.end(user, first.id);
    const refused = await gate.post(user, {});
    expect(refused).toMatchObject({ status: 503, code: "overloaded" });
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(gate.counted).toMatchObject([{ code: "overloaded" }]);
    gate.clock.advance(61);
    await gate.begin(user);
  });
});
