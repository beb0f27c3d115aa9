import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { isRunning } from "../upstream/servers.ts";
import { startFleet } from "./fleet.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { callTool, OPEN, openWorld, ROOT, until, type World } from "./world.ts";

const command = ["node", resolve(ROOT, "test/e2e/stdio-upstream.mjs")];
const ORDER = { tenant: "acme", reason: "a stolen token", by: "root" };

let spy: Spy;
let world: World;

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => [tool("echo"), tool("hang")],
    call: ({ params }) => (params.name === "hang" ? undefined : text("done")),
  });
  world = await openWorld({
    config: {
      upstreams: {
        spy: { url: spy.url, era: "legacy" },
        user: { command, isolation: "user" },
        tenant: { command, isolation: "tenant" },
        shared: { command },
      },
      servers: {
        main: { upstreams: ["spy"] },
        user: { upstreams: ["user"] },
        tenant: { upstreams: ["tenant"] },
        shared: { upstreams: ["shared"] },
      },
      runs: {},
    },
    policies: OPEN,
  });
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const META = "io.modelcontextprotocol/clientCapabilities";

/** A call of a modern client, which has no session with the gateway; gives the one that the gateway has for it. */
async function sessionOf(url: string, token: string, capabilities: JsonObject = {}): Promise<string> {
  const more = { _meta: { [META]: capabilities } };
  const { status } = await callTool(url, "echo", {}, { token }, more);
  expect(status).toBe(200);
  return String(spy.calls().at(-1)?.headers["mcp-session-id"]);
}

function isEnded(session: string): boolean {
  return spy.seen.some(({ verb, headers }) => verb === "DELETE" && headers["mcp-session-id"] === session);
}

/** The process of a stdio server that answers this user. */
async function pidOf(server: string, token: string): Promise<number> {
  const { body } = await callTool(world.url(server), "pid", {}, { token });
  const [{ text = "" } = {}] = (body.result?.content ?? []) as readonly { readonly text: string }[];
  return Number(text);
}

interface Run {
  readonly token: string;
  end(): Promise<unknown>;
}

async function begin(origin: string, user: string): Promise<Run> {
  const headers = { authorization: `Bearer ${user}`, "content-type": "application/json" };
  const answer = await fetch(`${origin}/runs`, { method: "POST", headers, body: "{}" });
  const { id, token } = (await answer.json()) as { readonly id: string; readonly token: string };
  return { token, end: () => fetch(`${origin}/runs/${id}`, { method: "DELETE", headers }) };
}

test("a client that says something else of itself each time ends no other user's session with an upstream", async () => {
  const url = world.url("main");
  const [ann, bob] = [await world.token("ann", "main"), await world.token("bob", "main")];
  const bobs = await sessionOf(url, bob);
  const anns: string[] = [];
  for (let at = 0; at < 130; at++)
    anns.push(await sessionOf(url, ann, { elicitation: { form: {}, [`x${at}`]: {} } }));
  expect(new Set(anns).size).toBe(130);
  await until("two to end", () => anns.slice(0, 2).every(isEnded));
  expect(spy.seen.filter(({ verb }) => verb === "DELETE")).toHaveLength(2);
  expect(await sessionOf(url, bob)).toBe(bobs);
});

test("with a run end the sessions and processes that upstreams hold for it, and not its user's own", async () => {
  const url = world.url("main");
  const ann = await world.token("ann", "main");
  const run = await begin(world.origin, ann);
  const [own, plain] = [await sessionOf(url, ann), await sessionOf(url, run.token)];
  const able = await sessionOf(url, run.token, { elicitation: {} });
  const hanging = callTool(url, "hang", {}, { token: run.token });
  await until("the call", () => spy.calls().at(-1)?.params.name === "hang");
  expect(new Set([own, plain, able]).size).toBe(3);
  const onStdio = await begin(world.origin, await world.token("ann", "user"));
  const pid = await pidOf("user", onStdio.token);
  await Promise.all([run.end(), onStdio.end()]);
  expect((await hanging).body.error?.data.code).toBe("cancelled");
  await until("its sessions' end", () => [plain, able].every(isEnded));
  await until("its process's end", () => !isRunning(pid));
  expect(isEnded(own)).toBe(false);
  expect(await sessionOf(url, ann)).toBe(own);
});

test("with a tenant's suspension end its sessions with upstreams and its processes, and no other's", async () => {
  const url = world.url("main");
  const [ann, dee] = [await world.token("ann", "main"), await world.token("dee", "main")];
  const [anns, dees] = [await sessionOf(url, ann, { roots: {} }), await sessionOf(url, dee)];
  const pids = async (user: string) =>
    Promise.all(["user", "tenant", "shared"].map(async (one) => pidOf(one, await world.token(user, one))));
  const [[users, tenants, shared], others] = [await pids("ann"), await pids("dee")];
  await world.gateway.operator.suspend(ORDER);
  expect([anns, dees].map(isEnded)).toEqual([true, false]);
  expect([users, tenants, shared, ...others].map((pid) => isRunning(pid ?? 0))).toEqual([
    ...[false, false, true],
    ...[true, true, true],
  ]);
  await world.gateway.operator.resume({ ...ORDER, reason: "" });
  expect(await sessionOf(url, ann, { roots: {} })).not.toBe(anns);
  expect(await pids("ann")).not.toContain(users);
});

test("so they do at another replica than the one that was told", async () => {
  const fleet = await startFleet(
    {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      runs: {},
    },
    OPEN,
  );
  try {
    const url = fleet.url("main");
    const token = await fleet.token("ann", "main");
    fleet.proxy.to = 0;
    const run = await begin(fleet.proxy.origin, token);
    fleet.proxy.to = 1;
    const [own, runs] = [await sessionOf(url, token), await sessionOf(url, run.token, { roots: {} })];
    fleet.proxy.to = 0;
    await run.end();
    await until("its session's end", () => isEnded(runs));
    expect(isEnded(own)).toBe(false);
  } finally {
    await fleet.close();
  }
});
