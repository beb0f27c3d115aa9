import { resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ownPort } from "../support/port.ts";
import { closeAll, type Served, serveEverything } from "../upstream/servers.ts";
import { type Arrival, type Spy, serveSpy, text } from "./upstreams.ts";
import { ask, callTool, OPEN, openSession, openWorld, ROOT, type Sent, until, type World } from "./world.ts";

const TIMEOUT_MS = 400;
let spy: Spy;
let late: Spy | undefined;
let latePort: number;
let everything: Served;
let world: World;
let sent: Sent;

beforeAll(async () => {
  latePort = await ownPort();
  const call = ({ params, response, id }: Arrival) => {
    response.setHeader("content-type", "application/json");
    switch ((params.arguments as { text?: string }).text) {
      case "hang":
        return undefined;
      case "cut":
        response.write("{", () => response.destroy());
        return undefined;
      case "foreign":
        response.end(JSON.stringify({ jsonrpc: "2.0", id: 424242, result: text("another's") }));
        return undefined;
      case "split":
        // Line ends in JSON text are white space; in an event they would end it.
        response.end(`{"jsonrpc":"2.0",\n\n"id":${id},\r\n"result":{"content":[],\n\n"kept":"event: x"}}`);
        return undefined;
      default:
        return text("done");
    }
  };
  spy = await serveSpy({ call });
  everything = await serveEverything();
  world = await openWorld({
    config: {
      upstreams: {
        spy: { url: spy.url, era: "legacy", timeout_ms: TIMEOUT_MS },
        late: { url: `http://127.0.0.1:${latePort}/mcp`, era: "legacy" },
        everything: { url: everything.url },
        written: { command: ["node", resolve(ROOT, "test/e2e/stdio-upstream.mjs")] },
      },
      servers: { main: { upstreams: ["spy", "late", "everything", "written"] } },
    },
    policies: OPEN,
  });
  sent = { token: await world.token("ann", "main") };
});
afterAll(async () => {
  await world.close();
  await Promise.all([spy.close(), late?.close(), closeAll()]);
});

const call = (name: string, args = {}, more: Sent = {}) =>
  callTool(world.url("main"), name, args, { ...sent, ...more });

async function listed(): Promise<readonly string[]> {
  const { body } = await ask(world.url("main"), "tools/list", {}, sent);
  const { tools } = body.result as unknown as { tools: { name: string }[] };
  return tools.map(({ name }) => name);
}

const statusOf = (name: string) => world.gateway.status().catalog.upstreams.find((one) => one.name === name);

test("an upstream that is dead at the start is absent, the others serve, and it comes back by itself", async () => {
  expect(await listed()).toContain("spy__echo");
  expect((await listed()).filter((name) => name.startsWith("late__"))).toEqual([]);
  expect(statusOf("late")).toMatchObject({
    state: "down",
    reason: expect.stringContaining("upstream_unavailable"),
  });
  expect((await call("spy__echo")).body.result).toBeDefined();
  late = await serveSpy({ port: latePort, call: () => text("late") });
  await until("the late upstream", async () => (await listed()).includes("late__echo"));
  expect((await call("late__echo")).body.result).toEqual({
    ...text("late"),
    resultType: "complete",
    _meta: expect.anything(),
  });
});

/** A call hangs up to its deadline, while twenty others are answered. */
async function hang(more: Sent): Promise<void> {
  const since = performance.now();
  const hanging = call("spy__echo", { text: "hang" }, { ...more, id: "hanging" }).then(({ body }) => {
    expect(body.error).toMatchObject({ code: -32007, data: { code: "upstream_timeout" } });
    expect(performance.now() - since).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
  });
  const others = Array.from({ length: 20 }, (_, id) =>
    call("everything__echo", { message: "x" }, { ...more, id }),
  );
  for (const { body } of await Promise.all(others)) expect(body.result).toBeDefined();
  await hanging;
}

test.each(["legacy", "modern"] as const)(
  "an upstream that hangs is a timeout within its deadline to a %s caller, while others answer",
  async (era) => {
    const session =
      era === "legacy" ? { session: await openSession(world.url("main"), sent.token ?? "") } : {};
    const since = performance.now();
    await hang({ era, ...session });
    // Its own deadline, and not the usual one of a minute.
    expect(performance.now() - since).toBeLessThan(30_000);
    const hung = spy.calls().at(-1);
    await until("the cancellation upstream", () =>
      spy.seen.some(
        ({ method, params }) => method === "notifications/cancelled" && params.requestId === hung?.id,
      ),
    );
    await until("the connection's end upstream", () => hung?.hungUp());
  },
);

test.each([
  ["cut", "upstream_unavailable"],
  ["foreign", "upstream_protocol"],
])("a call that is answered wrongly (%s) is one error, %s, and is not sent again", async (said, code) => {
  const before = spy.calls().length;
  const { body, text: answer } = await call("spy__echo", { text: said });
  expect(body.error?.data.code).toBe(code);
  expect(answer).not.toContain("another's");
  expect(spy.calls().length).toBe(before + 1);
});

test("line ends in an upstream's JSON cannot end an event of ours", async () => {
  const { body } = await call("spy__echo", { text: "split" });
  expect(body.result).toMatchObject({ content: [], kept: "event: x" });
});

test("an upstream that was restarted serves the very next call, in a session that it no longer knows", async () => {
  const session = await openSession(world.url("main"), sent.token ?? "");
  const legacy = { era: "legacy", session } as const;
  const echo = (id: number) => call("everything__echo", { message: "again" }, { ...legacy, id });
  expect((await echo(1)).body.result).toBeDefined();
  const { port } = new URL(everything.url);
  await everything.close();
  expect((await echo(2)).body.error?.data.code).toBe("upstream_unavailable");
  everything = await serveEverything(Number(port));
  expect((await echo(3)).body.result).toEqual({ content: [{ type: "text", text: "Echo: again" }] });
});

test("a definition that changed is quarantined, and serves again once approved", async () => {
  expect((await call("written__seen")).body.result).toBeDefined();
  await call("written__change");
  const quarantined = await until("quarantine", () => {
    const found = statusOf("written")?.quarantined ?? [];
    return found.length > 0 && found;
  });
  expect(quarantined).toEqual([
    { kind: "tool", name: "seen", difference: ['/description: "as it was" -> "changed"'] },
  ]);
  expect(await listed()).not.toContain("written__seen");
  expect((await call("written__seen")).body.error?.data.code).toBe("not_found");
  expect(await world.gateway.approve("written", "no-such-tool")).toBe(false);
  expect(await world.gateway.approve("written", "seen")).toBe(true);
  expect(await listed()).toContain("written__seen");
  expect((await call("written__seen")).body.result).toBeDefined();
});

test("a stdio upstream that crashes fails the calls it had, and the next call finds it running again", async () => {
  const waiting = call("written__wait");
  await until("the call upstream", async () => {
    const { body } = await call("written__seen");
    return JSON.stringify(body.result).includes('\\"wait\\"');
  });
  expect((await call("written__crash")).body.error?.data.code).toBe("upstream_unavailable");
  expect((await waiting).body.error?.data.code).toBe("upstream_unavailable");
  expect((await call("written__env")).body.result).toBeDefined();
});
