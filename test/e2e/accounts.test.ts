import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { aBrowser, linkAt } from "../accounts/browser.ts";
import { aThirdParty, SECRET, type ThirdParty } from "../accounts/third-party.ts";
import { ownPort } from "../support/port.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { leaseRecords } from "./vault-world.ts";
import { ask, callTool, openSession, openWorld, textBelow, until, type World } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "with their own account", "credential": {"source": "hub"}} if input.target.upstream == "spy"
`;
const CAN_SHOW = { "io.modelcontextprotocol/clientCapabilities": { elicitation: { url: {} } } };

let hub: ThirdParty;
let spy: Spy;
let world: World;

beforeAll(async () => {
  const port = await ownPort();
  hub = await aThirdParty([`http://127.0.0.1:${port}/accounts/callback/hub`]);
  spy = await serveSpy({ tools: () => [tool("read")], call: () => text("read") });
  const credentials = { hub: { type: "connected-account", account: "hub", upstreams: ["spy"] } };
  const given = { record: {}, servers: ["main"], credentials: { hub: {} } };
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      credentials,
      accounts: {
        master_key: "env:MASTER_KEY",
        providers: {
          hub: {
            title: "Hub",
            issuer: hub.issuer,
            client_id: "gateway",
            client_secret: "env:HUB_SECRET",
            scopes: ["openid", "offline_access", "read"],
          },
        },
      },
      tenants: { acme: given, globex: given },
    },
    listen: { port, public_url: `http://127.0.0.1:${port}` },
    policies: POLICY,
    env: { MASTER_KEY: randomBytes(32).toString("base64"), HUB_SECRET: SECRET },
  });
});
afterAll(async () => {
  await world?.close();
  await spy?.close();
  await hub?.close();
});

interface Elicitation {
  readonly mode: string;
  readonly url: string;
  readonly elicitationId: string;
}

test("a legacy client is told where to link, hears when it is done, and its call then goes with that account", async () => {
  const url = world.url("main");
  const token = await world.token("ann", "main");
  const session = await openSession(url, token);
  const call = () => callTool(url, "read", {}, { token, era: "legacy", session });
  const heard = new AbortController();
  const stream = await fetch(url, {
    headers: {
      accept: "text/event-stream",
      authorization: `Bearer ${token}`,
      "mcp-session-id": session,
      "mcp-protocol-version": "2025-11-25",
    },
    signal: heard.signal,
  });
  const { error } = (await call()).body;
  expect(error).toMatchObject({ code: -32042, data: { code: "account_required" } });
  const [asked] = (error?.data.elicitations ?? []) as unknown as readonly [Elicitation];
  expect(asked.mode).toBe("url");
  expect(spy.calls()).toHaveLength(0);

  expect(await linkAt(asked.url, "ann")).toBe(200);
  let said = "";
  for await (const chunk of stream.body ?? []) {
    said += Buffer.from(chunk).toString();
    if (said.includes("elicitation/complete")) break;
  }
  expect(said).toContain(JSON.stringify({ elicitationId: asked.elicitationId }));
  heard.abort();
  expect((await call()).body.error).toBeUndefined();
  const sent = spy.calls().at(-1)?.headers.authorization?.replace("Bearer ", "") ?? "";
  expect(await hub.accepts(sent)).toBe(true);
  for (const place of [world.said.join(""), textBelow(world.directory)]) expect(place).not.toContain(sent);
});

test("a modern client that can show a page is asked; one that cannot is told with the error", async () => {
  const url = world.url("main");
  const token = await world.token("dee", "main");
  const params = { name: "read", arguments: {} };
  const shown = await ask(url, "tools/call", { ...params, _meta: CAN_SHOW as JsonObject }, { token });
  expect(shown.body.result).toMatchObject({ resultType: "input_required" });
  expect(JSON.stringify(shown.body.result)).toContain("/accounts/link/");
  const told = await ask(url, "tools/call", params, { token });
  expect(told.body.error).toMatchObject({ code: -32042, data: { code: "account_required" } });
});

test("linking another account over a linked one ends what was held with the first", async () => {
  const url = world.url("main");
  const token = await world.token("bob", "main");
  const call = async () => (await callTool(url, "read", {}, { token })).body;
  const asked = async () =>
    ((await call()).error?.data.elicitations ?? []) as unknown as readonly Elicitation[];
  const [[one], [other]] = [await asked(), await asked()];
  const account = async () => {
    expect((await call()).error).toBeUndefined();
    const headers = { authorization: spy.calls().at(-1)?.headers.authorization ?? "" };
    return ((await (await fetch(`${hub.issuer}/me`, { headers })).json()) as JsonObject).sub;
  };
  hub.user = "bob-at-work";
  expect(await linkAt(one?.url ?? "", "bob")).toBe(200);
  expect(await account()).toBe("bob-at-work");
  hub.user = "bob-at-home";
  expect(await linkAt(other?.url ?? "", "bob")).toBe(200);
  expect(await account()).toBe("bob-at-home");
  const ended = (await leaseRecords(world)).filter((one) => one.subject === "bob" && one.event === "dropped");
  expect(ended.map(({ reason }) => reason)).toEqual(["the account was linked anew"]);
});

test("unlinking ends what was held with the account", async () => {
  const url = world.url("main");
  const token = await world.token("ann", "main");
  expect((await callTool(url, "read", {}, { token })).body.error).toBeUndefined();
  const browser = aBrowser();
  const start = await browser.go(`${world.origin}/accounts`);
  const list = start.url.pathname.startsWith("/oauth") ? await browser.submit(start, { user: "ann" }) : start;
  expect(list.html).toContain("Hub");
  await browser.submit(list, {}, { action: "/accounts/unlink" });
  const dropped = await until("the lease's end", async () =>
    (await leaseRecords(world)).find(({ reason }) => reason === "the account was unlinked"),
  );
  expect(dropped).toMatchObject({ event: "dropped", source: "hub", subject: "ann" });
  expect((await callTool(url, "read", {}, { token })).body.error?.data.code).toBe("account_required");
});
