import { McpError, UrlElicitationRequiredError } from "@modelcontextprotocol/sdk/types.js";
import { beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/accounts/database.ts";
import { sameUser } from "../../src/accounts/linking.ts";
import { toPortcullisError } from "../../src/lib/errors.ts";
import { errorText } from "../../src/lib/rpc.ts";
import { aBrowser, type Shown } from "./browser.ts";
import { aPostgresDatabase } from "./databases.ts";
import { aWorld, type World } from "./world.ts";

let database: Database;
beforeAll(async () => {
  database = await aPostgresDatabase();
});

/** Ann confirms the page of her own agent's link, and stops where the provider sends her back. */
async function upToTheCallback(world: World, browser = aBrowser(), account = "hub") {
  const { url } = await world.elicited(world.principal("ann"), account);
  const confirm = await world.open(browser, url, "ann");
  const until = (to: URL) => to.pathname.startsWith("/accounts/callback/");
  const stopped = await browser.submit(confirm, {}, { until });
  return { browser, confirm, callback: new URL(stopped.headers.get("location") ?? "") };
}

async function isLinked(world: World, subject: string, account = "hub"): Promise<boolean> {
  const links = await world.accounts.list(world.principal(subject));
  return links.some((one) => one.account === account);
}

/** Tests share a database and the users' names, so each begins without links. */
async function aFreshWorld(
  ...changes: Parameters<typeof aWorld> extends [unknown, ...infer Rest] ? Rest : []
) {
  const world = await aWorld(database, ...changes);
  await world.accounts.shred("acme");
  return world;
}

test("an agent that needs an account is told where, its user links it, and the agent gets a token that is good there", async () => {
  const world = await aFreshWorld();
  const ann = world.principal("ann");
  const browser = aBrowser();
  const { url, id } = await world.elicited(ann);
  const linked = await browser.submit(await world.open(browser, url, "ann"));
  expect(linked).toMatchObject({ status: 200 });
  expect(linked.url.pathname).toBe("/accounts/linked/hub");
  const { token, expires } = await world.accounts.accessToken("hub", ann);
  expect(await world.hub.accepts(token.reveal())).toBe(true);
  expect(expires).toBeGreaterThan(Date.now() + 290_000);
  const key = { tenant: "acme", issuer: world.issuer, subject: "ann", account: "hub" };
  expect(world.changes).toEqual([{ ...key, what: "linked", elicitation: id, replaced: false }]);
  expect(await world.accounts.list(ann)).toMatchObject([
    { account: "hub", state: "linked", scopes: ["openid", "read"] },
  ]);
});

test("the elicitation has the form that MCP clients of the legacy era understand", async () => {
  const world = await aFreshWorld();
  const asked = world.accounts.accessToken("hub", world.principal("ann"));
  const thrown: unknown = await asked.catch((error) => error);
  const { error } = JSON.parse(errorText(1, toPortcullisError(thrown)));
  const understood = McpError.fromError(error.code, error.message, error.data);
  expect(understood).toBeInstanceOf(UrlElicitationRequiredError);
  expect((understood as UrlElicitationRequiredError).elicitations).toEqual([
    {
      mode: "url",
      elicitationId: expect.stringMatching(/^[\w-]{22}$/),
      url: expect.stringMatching(`^${world.origin}/accounts/link/[\\w-]+$`),
      message: 'Connect your Hub <b>" account to go on.',
    },
  ]);
});

test("the link is the user's alone: in another tenant, of another issuer or another user there is none", async () => {
  const world = await aFreshWorld();
  const ann = world.principal("ann");
  await world.link(ann);
  for (const other of [
    world.principal("ann", "globex"),
    world.principal("bob"),
    { ...ann, issuer: "https://other.example" },
  ])
    await expect(world.accounts.accessToken("hub", other)).rejects.toMatchObject({
      code: "account_required",
    });
});

test("a link that another user opens is not theirs to finish (account fixation)", async () => {
  const world = await aFreshWorld();
  const { url } = await world.elicited(world.principal("ann"));
  const victim = aBrowser();
  const shown = await world.open(victim, url, "bob");
  expect(shown).toMatchObject({ status: 403 });
  expect(shown.html).toContain("not for you");
  // Nor by sending the form that was not shown, with a token of their own sign-in.
  const token = /name="token" value="([^"]+)"/.exec(shown.html)?.[1] ?? "";
  const forced = await victim.go(url, { method: "POST", form: { token } });
  expect(forced.status).toBe(403);
  expect(world.hub.asked).toEqual([]);
  // They may sign in as the one it was made for, if they are.
  const again = await victim.submit(shown, {}, { action: "/accounts/sign-out" });
  expect(again.url.pathname).toMatch(/^\/oauth\/interaction\//);
  expect((await victim.submit(again, { user: "ann" })).html).toContain("Connect your Hub");
});

test("a user of another tenant with the same name is another user", async () => {
  const world = await aFreshWorld();
  const { url } = await world.elicited(world.principal("ann", "globex"));
  expect(await world.open(aBrowser(), url, "ann")).toMatchObject({ status: 403 });
});

test("who is not signed in must sign in, and nothing is linked before they confirm", async () => {
  const world = await aFreshWorld();
  const { url } = await world.elicited(world.principal("ann"));
  const browser = aBrowser();
  const first = await browser.go(url);
  expect(first.url.pathname).toMatch(/^\/oauth\/interaction\//);
  const confirm = await browser.submit(first, { user: "ann" });
  expect(confirm.url.href).toBe(url);
  expect(world.hub.asked).toEqual([]);
  expect(await isLinked(world, "ann")).toBe(false);
});

test("a callback in another browser links nothing, also when that browser is signed in", async () => {
  const world = await aFreshWorld();
  const { callback, browser } = await upToTheCallback(world);
  const tokens = world.hub.asked.length;
  const other = aBrowser();
  expect(await other.go(callback)).toMatchObject({ status: 400 });
  await world.open(other, `${world.origin}/accounts`, "ann");
  expect(await other.go(callback)).toMatchObject({ status: 400 });
  expect(world.hub.asked.length).toBe(tokens);
  expect(await isLinked(world, "ann")).toBe(false);
  // The browser that began can still finish.
  expect((await browser.go(callback)).url.pathname).toBe("/accounts/linked/hub");
});

test("whoever signs in between cannot finish another user's link in the same browser", async () => {
  const world = await aFreshWorld();
  const { callback, browser } = await upToTheCallback(world);
  const jar = browser.cookies(world.origin);
  for (const name of [...jar.keys()]) if (!name.startsWith("portcullis-link-")) jar.delete(name);
  expect((await world.open(browser, `${world.origin}/accounts`, "bob")).html).toContain("Bob");
  expect(await browser.go(callback)).toMatchObject({ status: 400 });
  expect(await isLinked(world, "ann")).toBe(false);
  expect(await isLinked(world, "bob")).toBe(false);
});

test("two users are one only where tenant, issuer and subject are the same", () => {
  const ann = { tenant: "acme", issuer: "https://one.example", subject: "ann" };
  expect(sameUser(ann, { ...ann })).toBe(true);
  for (const other of [{ tenant: "globex" }, { issuer: "https://two.example" }, { subject: "bob" }])
    expect(sameUser(ann, { ...ann, ...other })).toBe(false);
});

test("a callback is used once, even with its cookie put back", async () => {
  const world = await aFreshWorld();
  const { callback, browser } = await upToTheCallback(world);
  const kept = new Map(browser.cookies(world.origin));
  expect((await browser.go(callback)).status).toBe(200);
  expect(await browser.go(callback)).toMatchObject({ status: 400 });
  for (const [name, value] of kept) browser.cookies(world.origin).set(name, value);
  const replayed = await browser.go(callback);
  expect(replayed.html).toContain("This link was used");
});

test("a ticket begins one link, and serves no other account, user or purpose", async () => {
  const world = await aFreshWorld();
  const { confirm, browser, callback } = await upToTheCallback(world);
  const again = await browser.submit(confirm, {}, { until: (to) => to.origin !== world.origin });
  expect(again.html).toContain("This link was used");
  const ticket = confirm.url.pathname.split("/").at(-1) ?? "";
  for (const text of [
    `${ticket.slice(0, -1)}${ticket.endsWith("A") ? "B" : "A"}`,
    `${ticket}A`,
    ticket.slice(0, 40),
    "x",
    // What is sealed for a browser is no ticket.
    browser.cookies(world.origin).get("portcullis-session") ?? "",
  ])
    expect(await browser.go(`${world.origin}/accounts/link/${text}`)).toMatchObject({ status: 400 });
  // And a ticket is no session.
  const thief = aBrowser();
  thief.cookies(world.origin).set("portcullis-session", ticket);
  expect((await thief.go(`${world.origin}/accounts`)).url.pathname).toMatch(/^\/oauth\//);
  expect((await browser.go(callback)).status).toBe(200);
});

test("a ticket is too old after ten minutes", async () => {
  let late = 0;
  const world = await aFreshWorld({ clock: () => Date.now() + late });
  const { url } = await world.elicited(world.principal("ann"));
  late = 600_001;
  const html = expect.stringContaining("older than ten minutes");
  expect(await aBrowser().go(url)).toMatchObject({ status: 400, html });
});

test("a sign-in is worth nothing after a quarter of an hour, nor beside another of its name", async () => {
  let late = 0;
  const world = await aFreshWorld({ clock: () => Date.now() + late });
  const browser = aBrowser();
  await world.link(world.principal("ann"), browser);
  const own = `portcullis-session=${browser.cookies(world.origin).get("portcullis-session")}`;
  const status = async (cookie: string) =>
    (await fetch(`${world.origin}/accounts`, { redirect: "manual", headers: { cookie } })).status;
  expect([await status(own), await status(`${own}; ${own}`)]).toEqual([200, 303]);
  const list = await browser.go(`${world.origin}/accounts`);
  late = 900_001;
  expect(await status(own)).toBe(303);
  // The page that is still open says so, and not that a sign-in was refused.
  const html = expect.stringContaining("Your sign-in has ended");
  for (const action of ["/accounts/sign-out", "/accounts/unlink"])
    expect(await browser.submit(list, {}, { action })).toMatchObject({ status: 403, html });
});

test("whoever is of no tenant is not signed in", async () => {
  const world = await aFreshWorld();
  Object.assign(world.options.signIn[0] ?? {}, { tenantOf: () => null });
  const browser = aBrowser();
  expect(await world.open(browser, `${world.origin}/accounts`, "ann")).toMatchObject({ status: 400 });
  expect(browser.cookies(world.origin).has("portcullis-session")).toBe(false);
});

test("who signs out has to sign in again", async () => {
  const world = await aFreshWorld();
  const browser = aBrowser();
  await world.link(world.principal("ann"), browser);
  const list = await browser.go(`${world.origin}/accounts`);
  expect(list.url.pathname).toBe("/accounts");
  const out = await browser.submit(list, {}, { action: "/accounts/sign-out" });
  expect(out.html).toContain("You are signed out");
  expect((await browser.go(`${world.origin}/accounts`)).url.pathname).toMatch(/^\/oauth\//);
});

test("an answer of another issuer, of another account's page or without its state is not redeemed (mix-up)", async () => {
  const world = await aFreshWorld();
  const wrongs: ((callback: URL) => void)[] = [
    (url) => url.searchParams.set("iss", "https://evil.example"),
    (url) => url.searchParams.delete("iss"),
    (url) => {
      url.pathname = "/accounts/callback/lab";
    },
    (url) => url.searchParams.set("state", "A".repeat(43)),
    (url) => url.searchParams.delete("state"),
    (url) => url.searchParams.append("state", url.searchParams.get("state") ?? ""),
    (url) => url.searchParams.append("code", "another"),
  ];
  for (const wrong of wrongs) {
    const { callback, browser } = await upToTheCallback(world);
    wrong(callback);
    const before = world.hub.asked.filter((path) => path === "/token").length;
    expect(await browser.go(callback)).toMatchObject({ status: 400 });
    expect(world.hub.asked.filter((path) => path === "/token").length).toBe(before);
  }
  expect(await isLinked(world, "ann")).toBe(false);
  expect(await isLinked(world, "ann", "lab")).toBe(false);
});

test("no address in a request decides where the browser goes (open redirect)", async () => {
  const world = await aFreshWorld();
  const browser = aBrowser();
  await world.open(browser, `${world.origin}/accounts`, "ann");
  const { confirm } = await upToTheCallback(world, browser);
  for (const path of [
    "/accounts?next=https://evil.example",
    `${confirm.url.pathname}?redirect_uri=https://evil.example`,
    "/accounts/sign-in/0?next=//evil.example",
    "/accounts/sign-in/7",
    "/accounts/sign-in/constructor",
    "/accounts//evil.example",
    "/accounts/linked/https:%2f%2fevil.example",
    "/accounts/linked/evil",
    "/accounts/link/..%2f..%2fevil",
  ])
    await browser.go(`${world.origin}${path}`);
  const hosts = new Set(browser.visited.map(({ host }) => host));
  expect([...hosts].sort()).toEqual([new URL(world.origin).host, new URL(world.hub.issuer).host].sort());
});

test("a form of another site or without the page's token does nothing (CSRF)", async () => {
  const world = await aFreshWorld();
  const ann = world.principal("ann");
  const browser = aBrowser();
  await world.link(ann, browser);
  const list = await browser.go(`${world.origin}/accounts`);
  const form = { account: "hub" };
  const token = /name="token" value="([^"]+)"/.exec(list.html)?.[1] ?? "";
  const foreign = aBrowser();
  const other = await world.open(foreign, `${world.origin}/accounts`, "bob");
  const bobs = /name="token" value="([^"]+)"/.exec(other.html)?.[1] ?? "";
  const to = `${world.origin}/accounts/unlink`;
  const attempts = [
    { form },
    { form: { ...form, token: "x" } },
    { form: { ...form, token: bobs } },
    { form: { ...form, token }, headers: { origin: "https://evil.example" } },
    { form: { ...form, token }, headers: { origin: "null" } },
    { form: { ...form, token }, headers: { "sec-fetch-site": "same-site" } },
    { form: { ...form, token }, headers: { "content-type": "text/plain" } },
    { form: { ...form, token, padding: "x".repeat(5_000) } },
  ];
  for (const attempt of attempts)
    expect(await browser.go(to, { method: "POST", ...attempt })).toMatchObject({ status: 403 });
  expect(await isLinked(world, "ann")).toBe(true);
  const { url } = await world.elicited(ann, "lab");
  for (const page of [url, `${world.origin}/accounts/sign-out`])
    for (const fields of [{}, { token: bobs }])
      expect(await browser.go(page, { method: "POST", form: fields }, () => true)).toMatchObject({
        status: 403,
      });
  // A GET changes nothing, and nobody unlinks without a sign-in.
  expect(await browser.go(`${to}?account=hub&token=${token}`)).toMatchObject({ status: 404 });
  expect(await aBrowser().go(to, { method: "POST", form: { ...form, token } })).toMatchObject({
    status: 403,
  });
  expect(await isLinked(world, "ann")).toBe(true);
});

test("names of users, accounts and scopes are text on every page, which runs no script (XSS)", async () => {
  const world = await aFreshWorld();
  const { confirm, browser, callback } = await upToTheCallback(world);
  const pages: Shown[] = [confirm, await browser.go(callback), await browser.go(`${world.origin}/accounts`)];
  for (const { html, headers } of pages) {
    expect(html).not.toMatch(/<script|<b>/i);
    expect(headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; .*frame-ancestors 'none'/,
    );
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-frame-options")).toBe("DENY");
  }
  expect(pages[0]?.html).toContain("Hub &#60;b&#62;&#34;");
});

test("what the provider says in an error is shown as a code or not at all", async () => {
  const world = await aFreshWorld();
  world.hub.user = null;
  const { url } = await world.elicited(world.principal("ann"));
  const browser = aBrowser();
  const refused = await browser.submit(await world.open(browser, url, "ann"));
  expect(refused).toMatchObject({ status: 400 });
  expect(refused.html).toContain("access_denied");
  expect(await isLinked(world, "ann")).toBe(false);
});

test("a user unlinks their account: it is revoked at the provider and gone here", async () => {
  const world = await aFreshWorld();
  const ann = world.principal("ann");
  const browser = aBrowser();
  await world.link(ann, browser);
  const { token } = await world.accounts.accessToken("hub", ann);
  const list = await browser.go(`${world.origin}/accounts`);
  const after = await browser.submit(list, {}, { action: "/accounts/unlink" });
  expect(after.html).toContain("There is none");
  expect(world.hub.asked.at(-1)).toBe("/token/revocation");
  expect(await world.hub.accepts(token.reveal())).toBe(false);
  await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({ code: "account_required" });
  expect(world.changes.at(-1)).toMatchObject({ what: "unlinked", subject: "ann", account: "hub" });
});

test("what is held with an account ends when it is unlinked, however long its provider is silent", async () => {
  const world = await aFreshWorld();
  const { issuer } = world;
  await world.link(world.principal("ann"));
  world.hub.fault = "hang";
  const unlinking = world.accounts.unlink({ tenant: "acme", issuer, subject: "ann", account: "hub" });
  await expect.poll(() => world.hub.asked.at(-1)).toBe("/token/revocation");
  expect(world.changes.at(-1)).toMatchObject({ what: "unlinked", subject: "ann", account: "hub" });
  world.hub.fault = "none";
  expect(await unlinking).toEqual({ found: true, revoked: true });
});

test("an account is unlinked also when its provider is down, and the user is told", async () => {
  const world = await aFreshWorld();
  const browser = aBrowser();
  await world.link(world.principal("ann"), browser);
  const list = await browser.go(`${world.origin}/accounts`);
  world.hub.fault = "down";
  const after = await browser.submit(list, {}, { action: "/accounts/unlink" });
  expect(after.html).toContain("could not be told");
  expect(await isLinked(world, "ann")).toBe(false);
});

test("a user who unlinks reaches nobody else's account", async () => {
  const world = await aFreshWorld();
  await world.link(world.principal("ann"));
  const bob = aBrowser();
  const list = await world.open(bob, `${world.origin}/accounts`, "bob");
  const token = /name="token" value="([^"]+)"/.exec(list.html)?.[1] ?? "";
  const form = { token, account: "hub", subject: "ann", tenant: "acme" };
  await bob.go(`${world.origin}/accounts/unlink`, { method: "POST", form });
  expect(await isLinked(world, "ann")).toBe(true);
});

test("another name for the gateway's address gets no page (DNS rebinding)", async () => {
  const world = await aFreshWorld();
  const { port } = new URL(world.origin);
  const response = await fetch(`http://localhost:${port}/accounts`, { redirect: "manual" });
  expect(response.status).toBe(403);
  expect(response.headers.getSetCookie()).toEqual([]);
});

test("a provider or an issuer that is down gives a page that says so, and no secret", async () => {
  const world = await aFreshWorld();
  const { url } = await world.elicited(world.principal("ann"));
  const browser = aBrowser();
  const confirm = await world.open(browser, url, "ann");
  world.hub.fault = "down";
  const shown = await browser.submit(confirm);
  expect(shown).toMatchObject({ status: 503 });
  // The ticket is not lost by it.
  world.hub.fault = "none";
  await expect.poll(async () => (await browser.submit(confirm)).url.pathname).toBe("/accounts/linked/hub");
});

test("cookies are for this host, no script and no other site's request; behind https with their prefix", async () => {
  const world = await aFreshWorld({ publicUrl: "https://gate.example" });
  const { pathname } = new URL((await world.elicited(world.principal("ann"))).url);
  const { request } = await import("node:http");
  const set = await new Promise<string[]>((resolve) => {
    const sent = request(`${world.origin}${pathname}`, { headers: { host: "gate.example" } }, (response) => {
      response.resume();
      resolve(response.headers["set-cookie"] ?? []);
    });
    sent.end();
  });
  expect(set).toEqual([
    expect.stringMatching(
      /^__Host-portcullis-sign-in-[\w-]{8}=[\w-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
    ),
  ]);
});
