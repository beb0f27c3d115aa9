import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { aStand, leaseRecords, type Stand } from "./vault-world.ts";
import { callTool, until, type World } from "./world.ts";

const USERS = Array.from({ length: 12 }, (_, index) => `user-${index}`);
const POLICY = `package authz

grant contains {"reason": "reads", "credential": {"source": "rows", "role": "brief"}} if input.target.upstream == "spy"
`;
/** What a caller may be told while Vault is away. */
const EXPECTED = ["vault_unreachable", "vault_sealed", "vault_standby", "vault_timeout", "vault_failed"];
const RECOVERY_MS = 10_000;

let stand: Stand;
let spy: Spy;
let world: World;
/** Calls that arrived upstream without a user name and password. */
let bare = 0;

beforeAll(async () => {
  stand = await aStand();
  await stand.bao.set("database/roles/acme.brief", {
    ...(await stand.bao.ask("GET", "database/roles/acme.reader")).body.data,
    default_ttl: "4s",
  });
  spy = await serveSpy({
    tools: () => [tool("read")],
    call({ headers }) {
      const pair = Buffer.from(headers.authorization?.replace("Basic ", "") ?? "", "base64").toString();
      if (!/^mcp-acme\.brief-[^:]+:.{8,}$/.test(pair)) bare += 1;
      return text("read");
    },
  });
  const roles = ["brief"];
  world = await stand.gateway({
    config: {
      authorization_server: {
        users: Object.fromEntries(USERS.map((user) => [user, { tenant: "acme", roles: [] }])),
      },
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      credentials: {
        rows: {
          type: "vault-dynamic",
          vault: "main",
          path: "database/creds/{tenant}.{role}",
          ttl: 4,
          roles,
          upstreams: ["spy"],
        },
      },
      tenants: {
        acme: { record: {}, servers: ["main"], credentials: { rows: { roles, max_ttl: 60 } } },
      },
    },
    policies: POLICY,
  });
});
afterAll(async () => {
  await world?.close();
  await spy?.close();
  await stand?.close();
});

test("sealed and killed under load: no call without a credential, back within 10 s, no lease left, each recorded", async () => {
  const told = new Map<string, number>();
  let running = true;
  const end = () => {
    running = false;
    return Promise.all(load);
  };
  onTestFinished(() => void end());
  const worker = async (user: string): Promise<void> => {
    const token = await world.token(user, "main");
    while (running) {
      const { body } = await callTool(world.url("main"), "read", {}, { token });
      const code = body.error?.data.code ?? "ok";
      told.set(code, (told.get(code) ?? 0) + 1);
      if (code !== "ok") await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const load = USERS.map(worker);
  const count = (code: string) => told.get(code) ?? 0;
  const refused = () => [...told].reduce((sum, [code, times]) => (code === "ok" ? sum : sum + times), 0);
  const mintedNow = async () => (await stand.mints()).length;
  /** Milliseconds from when Vault is back until there are new credentials, not those still in hand. */
  const recovered = async () => {
    const before = await mintedNow();
    await stand.bao.restart();
    const startedAt = Date.now();
    await until("new credentials", async () => (await mintedNow()) > before);
    return Date.now() - startedAt;
  };
  await until("load", () => count("ok") > 200);

  await stand.bao.seal();
  await until("refusals", () => count("vault_sealed") > 20);
  expect(await recovered()).toBeLessThan(RECOVERY_MS);

  const before = refused();
  await stand.bao.kill();
  await until("refusals", () => refused() > before + 20);
  expect(await recovered()).toBeLessThan(RECOVERY_MS);

  await end();
  expect([...told.keys()].filter((code) => code !== "ok" && !EXPECTED.includes(code))).toEqual([]);
  expect(bare).toBe(0);
  expect(spy.calls()).toHaveLength(count("ok"));

  await world.gateway.close();
  await everyMintIsRecorded(await leaseRecords(world), await world.outcomes());
  // What was made while Vault died, its answer lost, ends with its time to live.
  await until("no lease is left", async () => (await stand.leases()) === 0);
  // One that Vault was killed over may stay, unused: nobody can log in with it any more.
  const usable = async () => (await stand.roles()).filter((one) => one.until > new Date());
  await until("no role is left to log in with", async () => (await usable()).length === 0);
});

/** Of the mints of Vault's own log, those without a record of ours were for calls that were refused. */
async function everyMintIsRecorded(
  records: Awaited<ReturnType<typeof leaseRecords>>,
  outcomes: Awaited<ReturnType<World["outcomes"]>>,
): Promise<void> {
  const minted = records.filter(({ event }) => event === "minted");
  const recorded = new Set(minted.map(({ request_id }) => request_id));
  const served = new Set(outcomes.filter(({ status }) => status === "ok").map(({ decision }) => decision));
  const unrecorded = (await stand.mints()).filter(({ request }) => !recorded.has(request));
  expect(unrecorded.filter(({ decision }) => served.has(decision))).toEqual([]);
  expect(minted.length).toBeGreaterThan(USERS.length);
  // And nothing was used that is in no record.
  const known = new Set(minted.map(({ lease_sha256 }) => lease_sha256));
  const used = outcomes.flatMap(({ lease_sha256 }) => (lease_sha256 === null ? [] : [lease_sha256]));
  expect(used.filter((one) => !known.has(one))).toEqual([]);
}
