import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, stat } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import express from "express";
import { expect, test } from "vitest";
import { createAuthorizationServer } from "../../src/authorization-server/server.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { aClient, REDIRECT } from "./oauth.ts";
import { aBrowser, aWorld, later, USERS } from "./world.ts";

const json = async (url: string) => (await (await fetch(url)).json()) as Record<string, unknown>;

test("a chosen sample user is who the access token says", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const before = Math.floor(Date.now() / 1_000);
  const { answer } = await client.authorize("bob");
  expect(answer).toMatchObject({ state: "a-state", iss: world.authorizationServer.issuer });
  const issued = await client.redeem(answer.code ?? "");
  expect(issued).toMatchObject({ token_type: "Bearer", expires_in: 600, scope: "mcp" });
  const { principal, tenant } = await world.identity.authenticate(
    new Secret(issued.access_token ?? ""),
    "support",
  );
  expect(principal).toMatchObject({
    kind: "user",
    issuer: world.authorizationServer.issuer,
    subject: "bob",
    tenant: "acme",
    roles: ["lead", "support"],
    scopes: ["mcp"],
    client: client.client_id,
    acr: "0",
    amr: ["user"],
  });
  expect(principal.auth_time).toBeGreaterThanOrEqual(before);
  expect(tenant.id).toBe("acme");
});

test("a token is for one guarded URL only", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { access_token = "" } = await client.redeem((await client.authorize("ann")).answer.code ?? "");
  await expect(world.identity.authenticate(new Secret(access_token), "finance")).rejects.toThrow(
    PortcullisError,
  );
});

test("an ID token is no access token", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { answer } = await client.authorize("ann", { scope: "openid mcp" });
  const { id_token = "", access_token = "" } = await client.redeem(answer.code ?? "");
  await world.identity.authenticate(new Secret(access_token), "support");
  await expect(world.identity.authenticate(new Secret(id_token), "support")).rejects.toMatchObject({
    code: "token_invalid",
  });
});

test("a minted token has the shape of an issued one", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { access_token = "" } = await client.redeem((await client.authorize("dee")).answer.code ?? "");
  const minted = await world.authorizationServer.mint({
    subject: "dee",
    resource: world.url,
    scopes: ["mcp"],
    authTime: 1_700_000_000,
  });
  const shape = (token: string) =>
    token
      .split(".", 2)
      .map((part) => Object.keys(JSON.parse(Buffer.from(part, "base64url").toString())).sort());
  expect(shape(minted.reveal())).toEqual(shape(access_token));
  const { principal } = await world.identity.authenticate(minted, "support");
  expect(principal).toMatchObject({ subject: "dee", tenant: "globex", auth_time: 1_700_000_000 });
  await expect(
    world.authorizationServer.mint({ subject: "eve", resource: world.url, scopes: [] }),
  ).rejects.toThrow(/eve/);
  await expect(
    world.authorizationServer.mint({ subject: "ann", resource: "https://x.example/", scopes: [] }),
  ).rejects.toThrow(/not guarded/);
});

test("two users of one browser are two principals, one after the other", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const browser = aBrowser(world.origin);
  for (const user of ["ann", "dee", "ann"]) {
    const { callback } = await browser.authorize(client.authorizationUrl(), { user });
    const { access_token = "" } = await client.redeem(callback?.searchParams.get("code") ?? "");
    expect((await world.identity.authenticate(new Secret(access_token), "support")).principal.subject).toBe(
      user,
    );
  }
});

test("a refresh token gives a new pair once; used again it ends them all", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const first = await client.redeem((await client.authorize("ann")).answer.code ?? "");
  const second = await client.refresh(first.refresh_token ?? "");
  expect(second.refresh_token).not.toBe(first.refresh_token);
  const { principal } = await world.identity.authenticate(new Secret(second.access_token ?? ""), "support");
  expect(principal).toMatchObject({ subject: "ann", acr: "0" });
  expect(principal.auth_time).toBeGreaterThan(0);
  expect(await client.refresh(first.refresh_token ?? "")).toMatchObject({ error: "invalid_grant" });
  expect(await client.refresh(second.refresh_token ?? "")).toMatchObject({ error: "invalid_grant" });
});

test("a refresh token that its client revokes is good no more, and no other client can revoke it", async () => {
  const world = await aWorld();
  const [client, other] = [await aClient(world), await aClient(world)];
  const first = await client.redeem((await client.authorize("ann")).answer.code ?? "");
  await other.revoke(first.refresh_token ?? "");
  const second = await client.refresh(first.refresh_token ?? "");
  expect(second.refresh_token).toBeDefined();
  expect((await client.revoke(second.refresh_token ?? "")).status).toBe(200);
  expect(await client.refresh(second.refresh_token ?? "")).toMatchObject({ error: "invalid_grant" });
});

test("a code is good once, and its replay ends what it gave", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { code = "" } = (await client.authorize("ann")).answer;
  const issued = await client.redeem(code);
  expect(issued.access_token).toBeDefined();
  expect(await client.redeem(code)).toMatchObject({ error: "invalid_grant" });
  expect(await client.refresh(issued.refresh_token ?? "")).toMatchObject({ error: "invalid_grant" });
});

test("a code without its verifier, or with another, is refused", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { code = "" } = (await client.authorize("ann")).answer;
  expect(await client.redeem(code, { code_verifier: "" })).toMatchObject({ error: "invalid_grant" });
  expect(await client.redeem(code, { code_verifier: "x".repeat(43) })).toMatchObject({
    error: "invalid_grant",
  });
});

test.each([
  ["without PKCE", { code_challenge: undefined, code_challenge_method: undefined }, "invalid_request"],
  ["with plain PKCE", { code_challenge_method: "plain" }, "invalid_request"],
  ["for a foreign resource", { resource: "https://elsewhere.example/mcp" }, "invalid_target"],
  ["for a resource that only starts alike", { resource: "http://127.0.0.1/mcp/support" }, "invalid_target"],
  ["without a resource", { resource: undefined }, "invalid_target"],
  ["for an implicit token", { response_type: "token" }, "unsupported_response_type"],
])("an authorization request %s is refused at the client", async (_, changes, error) => {
  const world = await aWorld();
  const client = await aClient(world);
  const { answer, callback } = await client.authorize("ann", changes);
  expect(callback?.href).toMatch(REDIRECT);
  expect(answer).toMatchObject({ error, iss: world.authorizationServer.issuer });
  expect(answer.code).toBeUndefined();
});

test("the token endpoint gives no token for another guarded URL than was allowed", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { code = "" } = (await client.authorize("ann")).answer;
  expect(await client.redeem(code, { resource: `${world.origin}/mcp/finance` })).toMatchObject({
    error: "invalid_target",
  });
});

test.each([
  "http://127.0.0.1:39999/other",
  "https://evil.example/callback",
  "http://127.0.0.1.evil.example/callback",
])("the unregistered redirect %s is shown as an error and never followed", async (redirect_uri) => {
  const world = await aWorld();
  const client = await aClient(world);
  const { page, callback } = await client.authorize("ann", { redirect_uri });
  expect([callback, page.status]).toEqual([undefined, 400]);
  expect(await page.text()).toContain("invalid_redirect_uri");
});

test("a native client comes back on any loopback port; http elsewhere cannot be registered", async () => {
  const world = await aWorld();
  const { answer, callback } = await (await aClient(world)).authorize("ann", {
    redirect_uri: "http://127.0.0.1:41234/callback",
  });
  expect([callback?.port, typeof answer.code]).toEqual(["41234", "string"]);
  expect((await aClient(world, { redirect_uris: ["http://evil.example/"] })).registered.status).toBe(400);
});

test("cancelling tells the client so", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const { callback } = await aBrowser(world.origin).authorize(client.authorizationUrl(), { cancel: "yes" });
  expect(callback?.searchParams.get("error")).toBe("access_denied");
});

test("the page shows the sample users, escapes what clients say of themselves, and runs nothing", async () => {
  const world = await aWorld();
  const client = await aClient(world, { client_name: '<img src=x onerror="alert(1)">' });
  const shown = await aBrowser(world.origin).open(client.authorizationUrl());
  const html = await shown.text();
  for (const { subject } of USERS) expect(html).toContain(`value="${subject}"`);
  expect(html).toContain("&#60;img src=x");
  expect(html).not.toMatch(/<img|<script|https?:\/\/(?!127\.0\.0\.1)/);
  const policy = shown.headers.get("content-security-policy") ?? "";
  expect(policy).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self' http:; frame-ancestors 'none'; base-uri 'none'$/,
  );
  expect(shown.headers.get("x-frame-options")).toBe("DENY");
});

test.each([
  ["https://app.example/callback", "app.example"],
  ["http://127.0.0.1:39999/callback", "127.0.0.1:39999"],
  ["evil.app://claude.ai/callback", "evil.app://claude.ai/callback"],
])("the page says where %s really leads", async (redirect_uri, shown) => {
  const world = await aWorld();
  const client = await aClient(world, { redirect_uris: [redirect_uri] });
  const page = await aBrowser(world.origin).open(client.authorizationUrl({ redirect_uri }));
  expect(await page.text()).toContain(`It will be answered at <code>${shown}</code>`);
});

test("another browser cannot answer for the one that was asked", async () => {
  const world = await aWorld();
  const client = await aClient(world);
  const shown = await aBrowser(world.origin).open(client.authorizationUrl());
  const stolen = await fetch(shown.url, {
    method: "POST",
    body: new URLSearchParams({ user: "ann" }),
    redirect: "manual",
  });
  expect(stolen.status).toBe(400);
  const unknown = await aBrowser(world.origin).authorize(client.authorizationUrl(), { user: "eve" });
  expect([unknown.callback, unknown.page.status]).toEqual([undefined, 400]);
});

function askedOf(host: string, url: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve) => {
    request(url, { headers: { host } }, async (response) =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(await response.toArray()).toString() }),
    ).end();
  });
}

test("a request under another host name is refused, and metadata names the issuer's, also behind a proxy for TLS", async () => {
  const { origin } = await aWorld({ issuer: "https://localhost/oauth" });
  expect(await askedOf("evil.example", `${origin}/oauth/jwks`)).toMatchObject({ status: 403 });
  const { text } = await askedOf("localhost", `${origin}/oauth/.well-known/openid-configuration`);
  const urls = Object.entries(JSON.parse(text)).filter(([name]) => /_endpoint$|_uri$/.test(name));
  expect(urls.length).toBeGreaterThan(3);
  for (const [, url] of urls) expect(url).toMatch(/^https:\/\/localhost\/oauth\//);
});

test("pages of a client's own origin may read what is answered to it, and no others", async () => {
  const world = await aWorld();
  const { client_id } = await aClient(world);
  const body = new URLSearchParams({ client_id, grant_type: "refresh_token", refresh_token: "x" });
  const readableBy = async (origin: string) => {
    const { headers } = await fetch(`${world.origin}/oauth/token`, {
      method: "POST",
      headers: { origin },
      body,
    });
    return headers.get("access-control-allow-origin");
  };
  const own = new URL(REDIRECT).origin;
  expect([await readableBy(own), await readableBy("https://evil.example")]).toEqual([own, null]);
});

test("the metadata stands where RFC 8414 and OpenID say, for an issuer with a path", async () => {
  const world = await aWorld();
  const { issuer } = world.authorizationServer;
  const jwksUri = `${issuer}/jwks`;
  const found = await Promise.all(
    [
      "/.well-known/oauth-authorization-server/oauth",
      "/.well-known/openid-configuration/oauth",
      "/oauth/.well-known/openid-configuration",
    ].map((path) => json(`${world.origin}${path}`)),
  );
  expect(found[0]).toMatchObject({
    issuer,
    jwks_uri: jwksUri,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    registration_endpoint: `${issuer}/reg`,
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: true,
    response_types_supported: ["code"],
  });
  expect(found[0]?.scopes_supported).toContain("mcp");
  expect([found[1], found[2]]).toEqual([found[0], found[0]]);
  expect(await json(jwksUri)).toMatchObject(await world.authorizationServer.jwks());
  expect(JSON.stringify(await json(jwksUri))).not.toContain('"d"');
  expect((await fetch(`${world.origin}/.well-known/oauth-authorization-server`)).status).toBe(404);
});

test("a key file lets another process mint, and is the owner's alone", async () => {
  const keyFile = join(await mkdtemp(join(tmpdir(), "authorization-server-")), "key.pem");
  const world = await aWorld({ keyFile });
  const other = createAuthorizationServer({
    issuer: world.authorizationServer.issuer,
    users: USERS,
    scopes: ["mcp"],
    resources: () => [world.url],
    keyFile,
    clock: systemClock,
    log: silentLog,
  });
  const minted = await other.mint({ subject: "ann", resource: world.url, scopes: ["mcp"] });
  expect((await world.identity.authenticate(minted, "support")).principal.subject).toBe("ann");
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
  expect(await readFile(keyFile, "utf8")).toContain("PRIVATE KEY");
});

test("sample users are not served beyond loopback", () => {
  const create = (issuer: string) => () =>
    createAuthorizationServer({
      issuer,
      users: USERS,
      scopes: ["mcp"],
      resources: () => [],
      clock: systemClock,
      log: silentLog,
    });
  expect(create("https://gate.example/oauth")).toThrow(/no passwords/);
  expect(create("http://127.0.0.1.evil.example/oauth")).toThrow(/no passwords/);
  expect(create("http://localhost:8080/oauth")).not.toThrow();
  for (const issuer of ["http://localhost:8080", "http://localhost:8080/oauth/", "http://LOCALHOST/oauth"]) {
    expect(create(issuer)).toThrow(/issuer/);
  }
});

test("it is answered the same under an Express mount, and leaves what is not its own", async () => {
  const world = await aWorld();
  const app = express();
  app.use("/oauth", world.authorizationServer.handler);
  const server = app.listen(0, "127.0.0.1");
  later(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const headers = { host: new URL(world.origin).host };
  const sent = request({ port, path: "/oauth/.well-known/openid-configuration", headers }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const answer = Buffer.concat(await response.toArray());
  expect(JSON.parse(answer.toString())).toEqual(
    await json(`${world.origin}/oauth/.well-known/openid-configuration`),
  );
  const { handles } = world.authorizationServer;
  expect(["/oauth/auth", "/.well-known/oauth-authorization-server/oauth"].every(handles)).toBe(true);
  expect(["/oauth", "/oauthx/auth", "/OAuth/auth", "/mcp/support", "/"].some(handles)).toBe(false);
});

test("processes that start together have one key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "authorization-server-"));
  const fixture = fileURLToPath(new URL("./start.fixture.mjs", import.meta.url));
  const module = new URL("../../dist/authorization-server/signing-key.js", import.meta.url).href;
  for (let round = 0; round < 5; round++) {
    const file = join(folder, `${round}.pem`);
    const moment = String(Date.now() + 1000);
    const run = promisify(execFile);
    const opened = await Promise.all(
      Array.from({ length: 4 }, () => run(process.execPath, [fixture, module, file, moment])),
    );
    expect(new Set(opened.map(({ stdout }) => stdout)).size).toBe(1);
  }
  expect(await readdir(folder)).toEqual(["0.pem", "1.pem", "2.pem", "3.pem", "4.pem"]);
});
