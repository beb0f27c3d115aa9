import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { text as body } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { aBrowser } from "../accounts/browser.ts";
import { SECRET } from "../accounts/third-party.ts";
import { startIssuer } from "../identity/issuer.ts";
import { startValkey } from "../support/valkey.ts";
import { issuerConfig, listenRaw, openRaw, tokenOf } from "./raw-session.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { leaseRecords } from "./vault-world.ts";
import {
  ask,
  callTool,
  openSession,
  openWorld,
  openWritten,
  until,
  type World,
  type WorldOptions,
  writeWorld,
} from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "anyone", "credential": {"source": "signed"}} if input.target.upstream == "spy"
`;
const ORDER = { tenant: "acme", reason: "a stolen token", by: "root" };

const INITIALIZE = {
  protocolVersion: "2025-11-25",
  capabilities: {},
  clientInfo: { name: "raw", version: "1" },
};

let spy: Spy;
let world: World;

/** What every gateway here has, with connected accounts that nobody links. */
function options(): WorldOptions {
  const given = { record: {}, servers: ["main"], credentials: { signed: {} } };
  const hub = {
    title: "Hub",
    authorization_endpoint: "https://hub.example/authorize",
    token_endpoint: "https://hub.example/token",
    client_id: "gateway",
    client_secret: "env:HUB_SECRET",
    scopes: ["read"],
  };
  return {
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      credentials: { signed: { type: "signed-jwt", audience: "https://spy", ttl: 60, upstreams: ["spy"] } },
      tenants: { acme: given, globex: given },
      accounts: { master_key: "env:MASTER_KEY", providers: { hub } },
      runs: {},
    },
    policies: POLICY,
    env: { MASTER_KEY: "0".repeat(64), HUB_SECRET: SECRET },
  };
}

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => [tool("send"), tool("hang")],
    call: ({ params }) => (params.name === "hang" ? undefined : text("sent")),
  });
  world = await openWorld(options());
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const codeOf = ({ status, body }: Awaited<ReturnType<typeof ask>>) => [status, body.error?.data.code ?? "ok"];
const REFUSED = [403, "tenant_suspended"];

async function suspended(what: () => Promise<void>): Promise<void> {
  await world.gateway.operator.suspend(ORDER);
  try {
    await what();
  } finally {
    await world.gateway.operator.resume({ ...ORDER, reason: "" });
  }
}

test("a suspended tenant gets nothing by any door, at once, and others go on", async () => {
  const url = world.url("main");
  const [ann, dee] = [await world.token("ann", "main"), await world.token("dee", "main")];
  const [anns, dees] = [await openSession(url, ann), await openSession(url, dee)];
  const browser = aBrowser();
  const signIn = await browser.go(`${world.origin}/accounts`);
  expect((await browser.submit(signIn, { user: "ann" })).html).toContain("Connected accounts");
  const begun = spy.calls().length;
  await suspended(async () => {
    const asked = [
      await callTool(url, "send", {}, { token: ann }),
      await callTool(url, "send", {}, { token: ann, era: "legacy", session: anns }),
      await ask(url, "tools/list", {}, { token: ann }),
      await ask(url, "initialize", INITIALIZE, { token: ann, era: "legacy" }),
    ];
    expect(asked.map(codeOf)).toEqual(Array(4).fill(REFUSED));
    const [{ body }] = asked as [Awaited<ReturnType<typeof ask>>];
    expect(body.error).toEqual({
      code: -32001,
      message: "This tenant is suspended: ask the operator of this server.",
      data: { code: "tenant_suspended" },
    });
    const headers = { authorization: `Bearer ${ann}`, "mcp-session-id": anns, accept: "text/event-stream" };
    for (const method of ["GET", "DELETE"]) expect((await fetch(url, { method, headers })).status).toBe(403);
    for (const method of ["GET", "POST"]) {
      const answer = await fetch(`${world.origin}/runs`, { method, headers });
      expect([answer.status, await answer.text()]).toEqual([
        403,
        expect.stringContaining("tenant_suspended"),
      ]);
    }
    const page = await browser.go(`${world.origin}/accounts`);
    expect([page.status, page.html]).toEqual([403, expect.stringContaining("tenant_suspended")]);
    expect(spy.calls()).toHaveLength(begun);
    for (const sent of [{ token: dee }, { token: dee, era: "legacy", session: dees } as const])
      expect(codeOf(await callTool(url, "send", {}, sent))).toEqual([200, "ok"]);
  });
  expect(codeOf(await callTool(url, "send", {}, { token: ann }))).toEqual([200, "ok"]);
  expect((await browser.go(`${world.origin}/accounts`)).html).toContain("Connected accounts");
});

test("what the tenant has open ends: calls, streams of both eras, sessions, runs; others' go on", async () => {
  const url = world.url("main");
  const [ann, dee] = [await world.token("ann", "main"), await world.token("dee", "main")];
  const run = await fetch(`${world.origin}/runs`, {
    method: "POST",
    headers: { authorization: `Bearer ${ann}`, "content-type": "application/json" },
    body: "{}",
  });
  const { token: runs } = (await run.json()) as { readonly token: string };
  const sessions = [await openRaw(url, ann), await openRaw(url, dee)] as const;
  const [anns, dees] = await Promise.all(sessions.map((session) => session.get()));
  const standing = [
    await listenRaw(url, ann, { toolsListChanged: true }),
    await listenRaw(url, runs, { toolsListChanged: true }),
    await listenRaw(url, dee, { toolsListChanged: true }),
  ];
  for (const stream of standing) await stream.next("notifications/subscriptions/acknowledged");
  const before = spy.calls().length;
  const calls = [ann, runs, dee].map((token) => callTool(url, "hang", {}, { token }));
  await until("the calls", () => spy.calls().length === before + 3);
  await suspended(async () => {
    const ended = await Promise.all(calls.slice(0, 2));
    expect(ended.map(({ body }) => body.error?.data.code)).toEqual(["cancelled", "cancelled"]);
    await until("the streams' end", () => [anns, standing[0], standing[1]].every((one) => one?.hasEnded()));
    expect([dees, standing[2]].map((one) => one?.hasEnded())).toEqual([false, false]);
  });
  // Sessions and runs are begun anew.
  const again = await callTool(url, "send", {}, { token: ann, era: "legacy", session: sessions[0].id });
  expect(codeOf(again)).toEqual([404, "session_unknown"]);
  expect(codeOf(await callTool(url, "send", {}, { token: runs }))).toEqual([401, "run_ended"]);
  expect((await sessions[1].call(1, "ping", {})).status).toBe(200);
  for (const { response } of spy.calls().slice(-3)) response.destroy();
  for (const stream of [dees, standing[2]]) stream?.close();
  await calls[2];
});

test("a run whose request was under way when its tenant was suspended does not begin", async () => {
  const begin = request(`${world.origin}/runs`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await world.token("ann", "main")}`,
      "content-type": "application/json",
      "content-length": "2",
    },
  });
  await new Promise<unknown>((resolve) => begin.write("{", resolve));
  // Who comes later is answered already.
  await callTool(world.url("main"), "send", {}, { token: await world.token("bob", "main") });
  await suspended(async () => {
    begin.end("}");
    const [response] = (await once(begin, "response")) as [IncomingMessage];
    expect([response.statusCode, await body(response)]).toEqual([
      403,
      expect.stringContaining("tenant_suspended"),
    ]);
  });
});

test("its leases are revoked, and no other tenant's", async () => {
  const url = world.url("main");
  for (const user of ["ann", "bob", "dee"])
    await callTool(url, "send", {}, { token: await world.token(user, "main") });
  await suspended(async () => {
    const ended = (await leaseRecords(world)).filter(({ reason }) => reason === "the tenant was suspended");
    expect(new Set(ended.map(({ subject }) => subject))).toEqual(new Set(["ann", "bob"]));
    expect(ended.every(({ tenant }) => tenant === "acme")).toBe(true);
  });
});

test("an auditor sees who suspended it, when and why, and who was refused meanwhile", async () => {
  const url = world.url("main");
  await suspended(async () => {
    await callTool(url, "send", {}, { token: await world.token("bob", "main") });
    expect(world.gateway.status().suspended).toMatchObject([ORDER]);
  });
  const records = await world.records();
  const acts = records.filter(({ phase }) => phase === "operator").slice(-2);
  expect(acts).toMatchObject([
    { action: "tenant/suspend", ...ORDER },
    { action: "tenant/resume", tenant: "acme", reason: "", by: "root" },
  ]);
  const refused = (await world.decisions()).findLast(({ code }) => code === "tenant_suspended");
  expect(refused).toMatchObject({
    effect: "deny",
    principal: { subject: "bob", tenant: "acme" },
    reasons: [expect.stringMatching(/^suspended by root at 20\S+Z: a stolen token$/)],
  });
  const page = (await world.decisions()).find(({ method }) => method === "accounts");
  expect(page).toMatchObject({
    code: "tenant_suspended",
    principal: { subject: "ann" },
    client_ip: "127.0.0.1",
  });
});

test("it stays suspended after a restart, and a file that cannot be read keeps the gateway from starting", async () => {
  const written = await writeWorld(options());
  const before = await openWritten(written, options());
  await before.gateway.operator.suspend(ORDER);
  await before.gateway.close();
  const after = await openWritten(written, options());
  const called = async (user: string) =>
    codeOf(await callTool(after.url("main"), "send", {}, { token: await after.token(user, "main") }));
  expect([await called("ann"), await called("dee")]).toEqual([REFUSED, [200, "ok"]]);
  await after.gateway.operator.resume(ORDER);
  expect(await called("ann")).toEqual([200, "ok"]);
  await after.gateway.close();
  const file = join(written.directory, "state/suspensions.json");
  const torn = readFileSync(file, "utf8").slice(0, -20);
  writeFileSync(file, torn);
  await expect(openWritten(written, options())).rejects.toMatchObject({
    reason: `suspensions in ${file} cannot be read`,
  });
  rmSync(written.directory, { recursive: true });
});

test("a run ends for good with the suspension, also where the store could not be told then", async () => {
  const valkey = await startValkey();
  const { config, env, ...rest } = options();
  const alone = await openWorld({
    ...rest,
    config: { ...config, sessions: { store: { url: valkey.url }, key: "env:SESSIONS_KEY" } },
    env: { ...env, SESSIONS_KEY: "0123456789abcdef0123456789abcdef" },
  });
  const headers = {
    authorization: `Bearer ${await alone.token("ann", "main")}`,
    "content-type": "application/json",
  };
  const begun = await fetch(`${alone.origin}/runs`, { method: "POST", headers, body: "{}" });
  const { token } = (await begun.json()) as { readonly token: string };
  const called = async () => codeOf(await callTool(alone.url("main"), "send", {}, { token }));
  expect(await called()).toEqual([200, "ok"]);
  valkey.pause();
  expect(await alone.gateway.operator.suspend(ORDER)).toEqual({ told: false });
  valkey.resume();
  await until("the store", () => alone.gateway.status().ready.length === 0);
  // A run that began in an earlier second is over by then, and refused for that.
  expect([REFUSED, [401, "run_ended"]]).toContainEqual(await called());
  await alone.gateway.operator.resume(ORDER);
  expect(await called()).toEqual([401, "run_ended"]);
  const listed = await fetch(`${alone.origin}/runs`, { headers });
  expect(await listed.json()).toEqual({ runs: [], more: 0 });
  await alone.close();
  await valkey.close();
});

test("the other replica refuses it too, and ends what it has open there", async () => {
  const [valkey, issuer] = [await startValkey(), await startIssuer()];
  const {
    config: { accounts: _, ...config },
    ...rest
  } = options();
  const shared = {
    ...rest,
    config: {
      ...config,
      issuers: [issuerConfig(issuer)],
      sessions: { store: { url: valkey.url }, key: "env:SESSIONS_KEY" },
    },
    env: { ...rest.env, SESSIONS_KEY: "0123456789abcdef0123456789abcdef" },
  };
  const [one, other] = [await openWorld(shared), await openWorld(shared)];
  const ann = await tokenOf(issuer, other.url("main"), "ann");
  const dee = await tokenOf(issuer, other.url("main"), "dee");
  const stream = await listenRaw(other.url("main"), ann, { toolsListChanged: true });
  await stream.next("notifications/subscriptions/acknowledged");
  await callTool(other.url("main"), "send", {}, { token: ann });
  expect(await one.gateway.operator.suspend(ORDER)).toEqual({ told: true });
  await until("the stream's end there", stream.hasEnded);
  expect(codeOf(await callTool(other.url("main"), "send", {}, { token: ann }))).toEqual(REFUSED);
  expect(codeOf(await callTool(other.url("main"), "send", {}, { token: dee }))).toEqual([200, "ok"]);
  await until("its lease's end there", async () =>
    (await leaseRecords(other)).some(({ reason }) => reason === "the tenant was suspended"),
  );
  await other.gateway.operator.resume(ORDER);
  expect(codeOf(await callTool(other.url("main"), "send", {}, { token: ann }))).toEqual([200, "ok"]);
  await Promise.all([one.close(), other.close()]);
  await Promise.all([valkey.close(), issuer.close()]);
});
