import { afterAll, beforeAll, expect, test } from "vitest";
import { collected } from "../support/memory.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { ask, callTool, OPEN, openSession, openWorld, type Sent, until, type World } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": concat(" ", ["for", input.tenant.id]), "credential": {"source": "signed"}} if {
	input.target.upstream == "spy"
}
`;

let spy: Spy;
let world: World;
const held: (() => void)[] = [];

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => [tool("whoami", { text: { type: "string" } }), tool("hold"), tool("long")],
    async call({ params, headers, id, response }) {
      const {
        name,
        arguments: args,
        _meta,
      } = params as { name: string; arguments: { text?: string }; _meta?: { progressToken?: string } };
      if (name === "hold") await new Promise<void>((go) => held.push(go));
      const said = name === "long" ? "x".repeat(180_000) : args.text;
      if (_meta?.progressToken !== undefined) {
        response.setHeader("content-type", "text/event-stream");
        const event = (message: object) =>
          response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`);
        event({
          method: "notifications/progress",
          params: { progressToken: _meta.progressToken, progress: 1, message: args.text },
        });
        const [, claims = ""] = (headers.authorization ?? "").split(".");
        event({
          id,
          result: text(`${JSON.parse(Buffer.from(claims, "base64url").toString()).sub} ${said}`),
        });
        response.end();
        return undefined;
      }
      return text(`${args.text}`);
    },
  });
  const given = { record: {}, servers: ["main", "other"], credentials: { signed: {} } };
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] }, other: { upstreams: ["spy"] } },
      credentials: { signed: { type: "signed-jwt", audience: "https://spy.example", upstreams: ["spy"] } },
      tenants: { acme: given, globex: given },
    },
    policies: POLICY,
  });
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const USERS = ["ann", "bob", "dee"] as const;

test.each(["legacy", "modern"] as const)(
  "users of two tenants, interleaved on the same %s ids and progress tokens, get nothing of each other's",
  async (era) => {
    const before = spy.calls().length;
    const callers = await Promise.all(
      USERS.map(async (user) => {
        const token = await world.token(user, "main");
        const session = era === "legacy" ? { session: await openSession(world.url("main"), token) } : {};
        return { user, sent: { token, era, ...session } satisfies Sent };
      }),
    );
    await Promise.all(
      Array.from({ length: 40 }, (_, id) =>
        callers.map(async ({ user, sent }) => {
          const said = `${user} asks ${id}`;
          const meta = { _meta: { progressToken: `p${id % 3}` } };
          const { body, before: events } = await callTool(
            world.url("main"),
            "whoami",
            { text: said },
            { ...sent, id },
            meta,
          );
          expect(body).toMatchObject({ id, result: text(`${user} ${said}`) });
          expect(events).toEqual([
            {
              jsonrpc: "2.0",
              method: "notifications/progress",
              params: { progressToken: `p${id % 3}`, progress: 1, message: said },
            },
          ]);
        }),
      ).flat(),
    );
    const mine = spy.calls().slice(before);
    expect(mine.length).toBe(40 * USERS.length);
    const decisions = new Map((await world.decisions()).map((one) => [one.id, one]));
    const sessions = new Map<string, string>();
    for (const { headers, params } of mine) {
      const decision = decisions.get(String(headers["portcullis-decision"]));
      const { text: said } = params.arguments as { text: string };
      const user = decision?.principal?.subject ?? "";
      expect(said.startsWith(`${user} asks `)).toBe(true);
      expect(decision?.grant?.reason).toBe(user === "dee" ? "for globex" : "for acme");
      // No upstream session is shared by two users.
      const session = String(headers["mcp-session-id"]);
      expect(sessions.get(session) ?? user).toBe(user);
      sessions.set(session, user);
    }
    expect(new Set(sessions.values()).size).toBe(USERS.length);
  },
);

test("a session with another's token, or on another virtual server, is as unknown as none", async () => {
  const ann = await world.token("ann", "main");
  const session = await openSession(world.url("main"), ann);
  const before = spy.seen.length;
  const unknown = await ask(
    world.url("main"),
    "tools/list",
    {},
    { token: ann, era: "legacy", session: "nonsense" },
  );
  const attempts = [
    await ask(
      world.url("main"),
      "tools/list",
      {},
      { token: await world.token("bob", "main"), era: "legacy", session },
    ),
    await ask(
      world.url("main"),
      "tools/list",
      {},
      { token: await world.token("dee", "main"), era: "legacy", session },
    ),
    await ask(
      world.url("other"),
      "tools/list",
      {},
      { token: await world.token("ann", "other"), era: "legacy", session },
    ),
  ];
  for (const { status, text: said } of attempts) expect([status, said]).toEqual([404, unknown.text]);
  for (const [server, user] of [
    ["main", "bob"],
    ["other", "ann"],
  ] as const) {
    const headers = { authorization: `Bearer ${await world.token(user, server)}`, "mcp-session-id": session };
    expect((await fetch(world.url(server), { method: "DELETE", headers })).status).toBe(404);
  }
  expect(spy.seen.length).toBe(before);
  const own = await ask(world.url("main"), "tools/list", {}, { token: ann, era: "legacy", session });
  expect(own.status).toBe(200);
});

test("a session that was deleted is unknown, and its upstream session is ended", async () => {
  const token = await world.token("ann", "main");
  const sent = { token, era: "legacy", session: await openSession(world.url("main"), token) } as const;
  await callTool(world.url("main"), "whoami", { text: "x" }, sent);
  const upstream = spy.calls().at(-1)?.headers["mcp-session-id"];
  const headers = { authorization: `Bearer ${token}`, "mcp-session-id": sent.session };
  expect((await fetch(world.url("main"), { method: "DELETE", headers })).status).toBe(204);
  expect((await ask(world.url("main"), "tools/list", {}, sent)).status).toBe(404);
  await until("the end upstream", () =>
    spy.seen.some(({ verb, headers: own }) => verb === "DELETE" && own["mcp-session-id"] === upstream),
  );
});

test("of a session that ended nothing is kept: who opens and ends them fills no memory", async () => {
  const token = await world.token("ann", "main");
  const sent = { token, era: "legacy" } as const;
  const { length } = spy.seen;
  async function round() {
    const session = await openSession(world.url("main"), token);
    for (let id = 1; id <= 4; id += 1) {
      const answered = await callTool(
        world.url("main"),
        "long",
        {},
        { ...sent, session, id },
        { _meta: { progressToken: id } },
      );
      expect(answered.body.result).toBeDefined();
    }
    const headers = { authorization: `Bearer ${token}`, "mcp-session-id": session };
    expect((await fetch(world.url("main"), { method: "DELETE", headers })).status).toBe(204);
    spy.seen.splice(length);
  }
  await round();
  const before = collected();
  for (let at = 0; at < 20; at += 1) await round();
  await expect.poll(() => collected() - before).toBeLessThan(8 << 20);
});

test("an id that is still being answered is refused in its session, and free in another's", async () => {
  const [ann, bob] = [await world.token("ann", "main"), await world.token("bob", "main")];
  const sent = {
    token: ann,
    era: "legacy",
    session: await openSession(world.url("main"), ann),
    id: 7,
  } as const;
  const others = {
    token: bob,
    era: "legacy",
    session: await openSession(world.url("main"), bob),
    id: 7,
  } as const;
  const before = spy.calls().length;
  const first = callTool(world.url("main"), "hold", {}, sent);
  await until("the call upstream", () => held.length === 1);
  const second = await callTool(world.url("main"), "whoami", { text: "x" }, sent);
  expect([second.status, second.body.error?.data.code]).toEqual([400, "id_in_use"]);
  expect((await callTool(world.url("main"), "whoami", { text: "x" }, others)).status).toBe(200);
  held.pop()?.();
  expect((await first).body.result).toBeDefined();
  expect(spy.calls().length).toBe(before + 2);
  expect((await callTool(world.url("main"), "whoami", { text: "x" }, sent)).status).toBe(200);
});

test("no user, with however many runs, and no tenant keeps another's from opening a session", async () => {
  const crowded = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      runs: {},
      limits: { sessions: 210 },
    },
    policies: OPEN,
  });
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } };
  const opened = async (token: string, times: number) => {
    const initialize = () => ask(crowded.url("main"), "initialize", params, { token, era: "legacy" });
    const answers = await Promise.all(Array.from({ length: times }, initialize));
    for (const { status, body } of answers)
      expect([200, "too_many_sessions"]).toContain(status === 200 ? status : body.error?.data.code);
    return answers.filter(({ status }) => status === 200).length;
  };
  const ann = await crowded.token("ann", "main");
  const run = await fetch(`${crowded.origin}/runs`, {
    method: "POST",
    headers: { authorization: `Bearer ${ann}`, "content-type": "application/json" },
    body: "{}",
  });
  const ofRun = ((await run.json()) as { token: string }).token;
  expect([await opened(ann, 60), await opened(ofRun, 60)]).toEqual([60, 40]);
  // Half of all is the company's share.
  expect(await opened(await crowded.token("bob", "main"), 10)).toBe(5);
  expect(await opened(await crowded.token("dee", "main"), 10)).toBe(10);
  await crowded.close();
});
