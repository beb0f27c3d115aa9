import { resolve } from "node:path";
import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Arrival, type Spy, serveSpy, text, tool } from "./upstreams.ts";
import {
  ask,
  callTool,
  OFFICIAL,
  openSession,
  openWorld,
  ROOT,
  textBelow,
  until,
  type World,
} from "./world.ts";

const AUDIENCE = "https://spy.example";
const POLICY = `package authz

grant contains {"reason": "reads", "credential": {"source": "signed", "role": "reader"}} if {
	input.target.upstream == "spy"
	input.target.name == "read"
}

grant contains {"reason": "writes", "credential": {"source": "signed", "role": "writer"}} if {
	input.target.upstream == "spy"
	input.target.name == "write"
}

grant contains {"reason": "a source of few tenants", "credential": {"source": "acme-only"}} if {
	input.target.upstream == "spy"
	input.target.name == "rare"
}

grant contains {"reason": "no credential"} if input.target.upstream in {"child", "written"}
`;

/** An assertion that the upstreams no longer take. */
let rejected: string | undefined;
let spies: Record<"legacy" | "modern", Spy>;
let world: World;

beforeAll(async () => {
  const tools = ({ headers }: Arrival) =>
    ["read", "write", "rare"].map((name) =>
      tool(name, {}, { description: `asked with ${headers.authorization}` }),
    );
  const call = ({ response, headers }: Arrival) => {
    if (bearerOf(headers.authorization) !== rejected) return text("done");
    response.writeHead(401).end();
    return undefined;
  };
  const spy = (era: "legacy" | "modern") => serveSpy({ era, tools, call });
  const [legacy, modern] = await Promise.all([spy("legacy"), spy("modern")]);
  spies = { legacy, modern };
  const servers = ["main", "modern", "child", "written"];
  const credentials = {
    signed: { roles: ["reader", "writer"], max_ttl: 300 },
    "signed-modern": { roles: ["reader", "writer"], max_ttl: 300 },
  };
  const source = { type: "signed-jwt", audience: AUDIENCE, ttl: 60, roles: ["reader", "writer"] };
  world = await openWorld({
    config: {
      upstreams: {
        spy: { url: legacy.url, era: "legacy", credential: "signed" },
        modern: { url: modern.url, era: "modern" },
        child: { command: ["node", resolve(OFFICIAL, "server-everything/dist/index.js"), "stdio"] },
        written: {
          command: ["node", resolve(ROOT, "test/e2e/stdio-upstream.mjs")],
          env: { API_TOKEN: "env:CONFIGURED" },
        },
      },
      servers: {
        main: { upstreams: ["spy"] },
        modern: { upstreams: ["modern"] },
        child: { upstreams: ["child"] },
        written: { upstreams: ["written"] },
      },
      credentials: {
        signed: { ...source, upstreams: ["spy"] },
        "signed-modern": { ...source, upstreams: ["modern"] },
        "acme-only": { type: "signed-jwt", audience: AUDIENCE, upstreams: ["spy"] },
      },
      tenants: {
        acme: { record: {}, servers, credentials: { ...credentials, "acme-only": {} } },
        globex: { record: {}, servers, credentials: { ...credentials, signed: { roles: ["reader"] } } },
      },
    },
    policies: {
      "main.rego": POLICY,
      "modern.rego": `package authz\n\ngrant contains {"reason": "reads", "credential": {"source": "signed-modern", "role": "reader"}} if {\n\tinput.target.upstream == "modern"\n\tinput.target.name == "read"\n}\n`,
    },
    env: { CONFIGURED: "what-the-operator-gave", UNRELATED_SECRET: "of-the-gateway-alone" },
  });
});
afterAll(async () => {
  await world.close();
  await Promise.all(Object.values(spies).map((spy) => spy.close()));
});

const bearerOf = (header: string | undefined) => /^Bearer (\S+)$/.exec(header ?? "")?.[1] ?? "";

test.each([
  ["legacy", "main"],
  ["modern", "modern"],
] as const)(
  "a %s upstream gets an assertion of subject, tenant and role, and the decision's id",
  async (era, server) => {
    const token = await world.token("ann", server);
    await callTool(world.url(server), "read", {}, { token });
    const headers = spies[era].calls().at(-1)?.headers ?? {};
    const { keys } = (await (
      await fetch(`${world.origin}/.well-known/portcullis/jwks.json`)
    ).json()) as never;
    const verified = await jwtVerify(bearerOf(headers.authorization), createLocalJWKSet({ keys }), {
      audience: AUDIENCE,
      issuer: world.origin,
    });
    expect(verified.payload).toMatchObject({ sub: "ann", tenant: "acme", role: "reader" });
    const decision = (await world.decisions()).at(-1);
    expect(headers["portcullis-decision"]).toBe(decision?.id);
    expect(decision).toMatchObject({
      effect: "allow",
      principal: { subject: "ann" },
      target: { name: "read" },
    });
  },
);

test("an assertion is reused within its lease, for its principal and role alone", async () => {
  const ann = await world.token("ann", "main");
  const dee = await world.token("dee", "main");
  const used = async (name: string, token: string) => {
    await callTool(world.url("main"), name, {}, { token });
    return bearerOf(spies.legacy.calls().at(-1)?.headers.authorization);
  };
  const [first, again, other, write] = [
    await used("read", ann),
    await used("read", ann),
    await used("read", dee),
    await used("write", ann),
  ];
  expect(again).toBe(first);
  expect(new Set([first, other, write]).size).toBe(3);
  expect(decodeJwt(other)).toMatchObject({ sub: "dee", tenant: "globex", role: "reader" });
  expect(decodeJwt(write)).toMatchObject({ sub: "ann", tenant: "acme", role: "writer" });
});

test.each([
  ["rare", "a source"],
  ["write", "a role"],
])("%s needs %s that the tenant is not given: refused, and nothing goes upstream", async (name) => {
  const before = spies.legacy.seen.length;
  const { body } = await callTool(world.url("main"), name, {}, { token: await world.token("dee", "main") });
  expect(body.error).toMatchObject({ code: -32006, data: { code: "credential_refused" } });
  expect(spies.legacy.seen.length).toBe(before);
  const { id } = (await world.decisions()).at(-1) ?? { id: "" };
  const outcome = await until("the outcome", async () =>
    (await world.outcomes()).find((one) => one.decision === id),
  );
  expect(outcome).toMatchObject({ status: "credential_refused", is_error: true, lease_sha256: null });
});

/** A token, its signature part, and what could be made of it. */
function tracesOf(token: string): string[] {
  const [, claims = "", signature = ""] = token.split(".");
  return [token, signature, claims, Buffer.from(token).toString("base64").slice(0, 64)];
}

test("an assertion that its upstream rejects is replaced once, and not used again", async () => {
  const token = await world.token("ann", "main");
  const call = () => callTool(world.url("main"), "read", {}, { token });
  await call();
  rejected = bearerOf(spies.legacy.calls().at(-1)?.headers.authorization);
  expect((await call()).body.error).toBeUndefined();
  const sent = () => spies.legacy.calls().map(({ headers }) => bearerOf(headers.authorization));
  expect(sent().at(-1)).not.toBe(rejected);
  expect(sent().at(-2)).toBe(rejected);
});

test("the inbound token reaches no upstream, in no header, body or environment", async () => {
  const traces: string[] = [];
  for (const [server, name] of [
    ["main", "read"],
    ["modern", "read"],
  ] as const) {
    const token = await world.token("ann", server);
    traces.push(...tracesOf(token));
    const headers = {
      cookie: `session=${token}`,
      "x-forwarded-access-token": token,
      "proxy-authorization": `Bearer ${token}`,
    };
    const session = await openSession(world.url(server), token);
    for (const sent of [
      { token, headers },
      { token, headers, session, era: "legacy" as const },
    ]) {
      expect((await callTool(world.url(server), name, {}, sent)).status).toBe(200);
    }
  }
  const arrived = Object.values(spies).flatMap(({ seen }) => seen);
  expect(arrived.length).toBeGreaterThan(6);
  const everything = arrived
    .map(({ verb, headers, text: body }) => JSON.stringify([verb, headers, body]))
    .join("\n");
  for (const trace of traces) expect(everything).not.toContain(trace);
  for (const { headers } of arrived) expect(headers).not.toHaveProperty("cookie");
});

test.each([
  ["child", "get-env"],
  ["written", "env"],
])("the %s upstream's environment is what was configured, and no caller's token", async (server, name) => {
  const token = await world.token("ann", server);
  const { body } = await callTool(world.url(server), name, {}, { token });
  const { content } = body.result as unknown as { content: [{ text: string }] };
  const [{ text: said }] = content;
  const env = JSON.parse(said) as Record<string, string>;
  const given = server === "written" ? { API_TOKEN: "[withheld]" } : {};
  expect(env).toEqual({ PATH: process.env.PATH, HOME: process.env.HOME, ...given });
  for (const trace of tracesOf(token)) expect(said).not.toContain(trace);
});

test("what an upstream was given by configuration reaches no agent: in no answer, error, notification or list", async () => {
  const [written, main] = [await world.token("ann", "written"), await world.token("ann", "main")];
  const _meta = { progressToken: "p" };
  const told = [
    (await callTool(world.url("written"), "env", {}, { token: written })).text,
    (await callTool(world.url("written"), "tell", {}, { token: written }, { _meta })).text,
    (await ask(world.url("written"), "tools/list", {}, { token: written })).text,
    (await ask(world.url("written"), "server/discover", {}, { token: written })).text,
    (await ask(world.url("main"), "tools/list", {}, { token: main })).text,
  ];
  expect(told.map((text) => text.split("[withheld]").length - 1)).toEqual([1, 2, 1, 1, 3]);
  for (const text of told) expect(text).not.toMatch(/the-operator-gave|eyJ/);
});

test("no token and no assertion stands in a log or anywhere else on disk", async () => {
  const [ann, dee] = [await world.token("ann", "main"), await world.token("dee", "main")];
  await callTool(world.url("main"), "read", {}, { token: ann });
  await callTool(world.url("main"), "rare", {}, { token: dee });
  // Refusals are where a token is likeliest to be quoted.
  await callTool(world.url("main"), "read", {}, { token: `${ann}x` });
  await callTool(world.url("modern"), "read", {}, { token: ann });
  await ask(`${world.url("main")}?access_token=${ann}`, "tools/list", {}, { token: ann });
  const assertions = Object.values(spies).flatMap(({ seen }) =>
    seen.map(({ headers }) => bearerOf(headers.authorization)),
  );
  const kept = [
    world.said.join(""),
    textBelow(world.directory),
    await (await fetch(`${world.origin}/metrics`)).text(),
  ];
  const minted = new Set(assertions.filter((one) => one !== ""));
  expect(minted.size).toBeGreaterThan(1);
  for (const trace of [
    ...tracesOf(ann),
    ...tracesOf(dee),
    ...[...minted].flatMap(tracesOf),
    "what-the-operator-gave",
  ]) {
    for (const text of kept) expect(text).not.toContain(trace);
  }
});
