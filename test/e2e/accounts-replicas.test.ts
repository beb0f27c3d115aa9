import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { linkAt } from "../accounts/browser.ts";
import { aThirdParty, SECRET, type ThirdParty } from "../accounts/third-party.ts";
import { ownPort } from "../support/port.ts";
import { startPostgres } from "../support/postgres.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { leaseRecords } from "./vault-world.ts";
import { callTool, openWorld, until, type World, type WorldOptions } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "with their own account", "credential": {"source": "hub"}} if input.target.upstream == "spy"
`;

let hub: ThirdParty;
let spy: Spy;
let valkey: Valkey;
let postgres: Awaited<ReturnType<typeof startPostgres>>;
let worlds: readonly World[];
/** A third replica, with the first one's URL and users. */
let twin: World;
let twinUrl: string;

/** Two replicas with one PostgreSQL and one Valkey, each with users of its own issuer. */
beforeAll(async () => {
  const ports = [await ownPort(), await ownPort()];
  hub = await aThirdParty(ports.map((port) => `http://127.0.0.1:${port}/accounts/callback/hub`));
  spy = await serveSpy({ tools: () => [tool("read")], call: () => text("read") });
  [valkey, postgres] = await Promise.all([startValkey(), startPostgres()]);
  const given = { record: {}, servers: ["main"], credentials: { hub: {} } };
  const scopes = ["openid", "offline_access", "read"];
  const client = { issuer: hub.issuer, client_id: "gateway", client_secret: "env:HUB_SECRET", scopes };
  const config = {
    upstreams: { spy: { url: spy.url, era: "legacy" } },
    servers: { main: { upstreams: ["spy"] } },
    credentials: { hub: { type: "connected-account", account: "hub", upstreams: ["spy"] } },
    sessions: { store: { url: valkey.url }, key: "env:SESSIONS_KEY" },
    accounts: { master_key: "env:MASTER_KEY", store: { url: "env:DATABASE" }, providers: { hub: client } },
    tenants: { acme: given, globex: given },
  };
  const env = {
    MASTER_KEY: randomBytes(32).toString("base64"),
    SESSIONS_KEY: randomBytes(32).toString("base64"),
    HUB_SECRET: SECRET,
    DATABASE: postgres.urlOf("postgres", postgres.password),
  };
  const open = (port = 0, more: Partial<WorldOptions> = {}) => {
    const listen = { port, public_url: `http://127.0.0.1:${port}`, ...more.listen };
    return openWorld({ config, policies: POLICY, env, ...more, listen });
  };
  worlds = [await open(ports[0]), await open(ports[1])];
  const key = "state/authorization-server.pem";
  const files = { [key]: readFileSync(join(worlds[0]?.directory ?? "", key), "utf8") };
  const port = await ownPort();
  const listen = { public_url: worlds[0]?.origin ?? "", allowed_hosts: [`127.0.0.1:${port}`] };
  twin = await open(port, { files, listen });
  twinUrl = `http://127.0.0.1:${port}/mcp/main`;
});
afterAll(async () => {
  await Promise.all([...worlds, twin].map((world) => world.close()));
  await Promise.all([spy, hub, valkey, postgres].map((one) => one.close()));
});

async function call(world: World, user: string, url = world.url("main")): Promise<string> {
  const { body } = await callTool(url, "read", {}, { token: await world.token(user, "main") });
  const [asked] = (body.error?.data.elicitations ?? []) as unknown as readonly { readonly url: string }[];
  return asked?.url ?? body.error?.data.code ?? "read";
}

async function link(world: World, user: string): Promise<void> {
  expect(await linkAt(await call(world, user), user)).toBe(200);
  expect(await call(world, user)).toBe("read");
}

/** That a user's lease at a replica ended since the account is no longer linked, or another one is. */
const ended = (world: World, user: string, why = "the account was unlinked") =>
  until(`the end of ${user}'s lease`, async () =>
    (await leaseRecords(world)).some(({ subject, reason }) => subject === user && reason === why),
  );

test("another account that is linked at one replica takes the place of the first at the other, at once", async () => {
  const [one] = worlds as readonly [World, World];
  const [first, second] = [await call(one, "ann"), await call(one, "ann")];
  expect(await linkAt(first, "ann")).toBe(200);
  const account = async () => {
    expect(await call(twin, "ann", twinUrl)).toBe("read");
    return spy.calls().at(-1)?.headers.authorization;
  };
  const before = await account();
  expect(await account()).toBe(before);
  hub.user = "ann-at-home";
  expect(await linkAt(second, "ann")).toBe(200);
  await ended(twin, "ann", "the account was linked anew");
  expect(await account()).not.toBe(before);
});

test("an operator unlinks at one replica what was linked and is used at the other", async () => {
  const [one, other] = worlds as readonly [World, World];
  await link(other, "bob");
  await link(other, "ann");
  const [found] = await one.gateway.operator.links("acme", "bob");
  expect(found).toMatchObject({ subject: "bob", account: "hub", issuer: `${other.origin}/oauth` });
  const order = { tenant: "acme", subject: "bob", account: "hub", reason: "", by: "root" };
  // Without an issuer it is this replica's own, whose bob has none.
  expect(await one.gateway.operator.unlink({ ...order, issuer: "" })).toEqual({ found: false, hint: "" });
  const gone = await one.gateway.operator.unlink({ ...order, issuer: found?.issuer ?? "" });
  expect(gone).toEqual({ found: true, revoked: true });
  await ended(other, "bob");
  expect(await call(other, "ann")).toBe("read");
});

test("shredding at one replica ends what is held at the other, and at itself also while the store is away", async () => {
  const [one, other] = worlds as readonly [World, World];
  await link(one, "dee");
  await link(one, "bob");
  expect(await one.gateway.operator.shred({ tenant: "acme", reason: "", by: "root" })).toMatchObject({
    links: 3,
  });
  await Promise.all([ended(one, "bob"), ended(other, "ann")]);
  expect(await call(other, "ann")).toContain("/accounts/link/");
  expect(await call(one, "dee")).toBe("read");
  await valkey.stop();
  expect(await one.gateway.operator.shred({ tenant: "globex", reason: "", by: "root" })).toMatchObject({
    links: 1,
  });
  await ended(one, "dee");
  await valkey.start();
});
