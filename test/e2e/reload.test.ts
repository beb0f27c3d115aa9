import { afterAll, expect, test } from "vitest";
import { serveSpy } from "./upstreams.ts";
import { ask, callTool, openWorld, openWritten, until, type World, writeIn, writeWorld } from "./world.ts";

const spy = await serveSpy();
const worlds: World[] = [];
afterAll(async () => {
  for (const world of worlds) await world.close();
  await spy.close();
});

async function aWorld(policies: string, more: { readonly bad?: true } = {}): Promise<World> {
  const upstreams = { spy: { url: spy.url, era: "legacy" } };
  const world = await openWorld({
    config: { upstreams, servers: { main: { upstreams: ["spy"] } } },
    policies,
    ...more,
  });
  worlds.push(world);
  return world;
}

const saying = (reason: string) => `package authz\n\ngrant contains {"reason": "${reason}"}\n`;
const platform = ({ gateway }: World) => gateway.status().policies.platform;

test("policies change under load without a failed request, and each record names the revision that decided", async () => {
  const world = await aWorld(saying("one"));
  const token = await world.token("ann", "main");
  const revisions = new Map([[platform(world).revision, "one"]]);
  const failed: string[] = [];
  let ended = false;
  let answered = 0;
  const worker = async () => {
    while (!ended) {
      const { status, text, body } = await callTool(world.url("main"), "echo", { text: "x" }, { token });
      if (status !== 200 || body.result === undefined) failed.push(text);
      answered += 1;
    }
  };
  const more = (calls: number) => {
    const enough = answered + calls;
    return until("more calls", () => answered >= enough);
  };
  const workers = [1, 2, 3, 4].map(worker);
  for (const reason of ["two", "three"]) {
    await more(20);
    const { revision: before } = platform(world);
    await writeIn(world.directory, "policies/main.rego", saying(reason));
    const after = await until("a new revision", () => platform(world).revision !== before && platform(world));
    revisions.set(after.revision, reason);
  }
  await more(20);
  ended = true;
  await Promise.all(workers);

  expect(failed).toEqual([]);
  expect(revisions.size).toBe(3);
  const decisions = await world.decisions();
  expect(decisions.length).toBe(answered);
  for (const { revision, grant } of decisions) expect(grant?.reason).toBe(revisions.get(revision.platform));
  expect(new Set(decisions.map(({ grant }) => grant?.reason))).toEqual(new Set(["one", "two", "three"]));
});

test("a bad bundle keeps the last good one in force and status says so", async () => {
  const world = await aWorld(saying("good"));
  const token = await world.token("ann", "main");
  const { revision } = platform(world);
  await writeIn(world.directory, "policies/main.rego", "package authz\n\ngrant contains {\n");
  const bad = await until("the finding", () => platform(world).lastError);
  expect(bad.problems[0]).toMatchObject({ severity: "error", file: expect.stringContaining("main.rego") });
  expect(platform(world).revision).toBe(revision);
  expect((await callTool(world.url("main"), "echo", { text: "x" }, { token })).body.result).toBeDefined();
  expect((await world.decisions()).at(-1)?.revision.platform).toBe(revision);
  expect(world.said.join("")).toContain("the last good ones stay in force");
  expect((await fetch(`${world.origin}/readyz`)).status).toBe(200);

  await writeIn(world.directory, "policies/main.rego", saying("better"));
  await until("a new revision", () => platform(world).revision !== revision);
  expect(platform(world).lastError).toBeNull();
});

test("without any good policy nothing is served, until there is one", async () => {
  const world = await aWorld("package authz\n\ngrant contains {\n", { bad: true });
  const token = await world.token("ann", "main");
  const before = spy.calls().length;
  const refused = await callTool(world.url("main"), "echo", { text: "x" }, { token });
  expect([refused.status, refused.body.error?.data.code]).toEqual([503, "policy_unavailable"]);
  expect((await world.decisions()).at(-1)).toMatchObject({ effect: "deny", code: "policy_unavailable" });
  expect((await fetch(`${world.origin}/readyz`)).status).toBe(503);
  expect(spy.calls().length).toBe(before);

  await writeIn(world.directory, "policies/main.rego", saying("at last"));
  await until("policies in force", () => platform(world).revision !== null);
  expect((await callTool(world.url("main"), "echo", { text: "x" }, { token })).body.result).toBeDefined();
  expect((await fetch(`${world.origin}/readyz`)).status).toBe(200);
});

test("a tenant that is added later is unknown until the next start, and never served without its own denials", async () => {
  const config = {
    upstreams: { spy: { url: spy.url, era: "legacy" } },
    servers: { main: { upstreams: ["spy"] } },
    tenants: { path: "./tenants" },
    authorization_server: { users: { ann: { tenant: "acme" }, eve: { tenant: "late" } } },
  };
  const files = { "tenants/acme.yaml": "{record: {}, servers: [main]}" };
  const options = { config, policies: saying("anyone"), files };
  const written = await writeWorld(options);
  const first = await openWritten(written, options);
  const listed = async (world: World, user: string) => {
    const token = await world.token(user, "main");
    const { body } = await ask(world.url("main"), "tools/list", {}, { token });
    const { tools = [] } = (body.result ?? {}) as { tools?: unknown[] };
    return body.error?.data.code ?? tools.length;
  };
  expect(await listed(first, "ann")).toBe(1);
  expect(await listed(first, "eve")).toBe("tenant_unknown");
  await writeIn(first.directory, "late/main.rego", 'package authz\n\ndeny contains "nothing for anybody"\n');
  // As an editor leaves it for a moment.
  await writeIn(first.directory, "tenants/late.yaml", "record: {");
  expect(await listed(first, "eve")).toBe("tenant_unknown");
  await writeIn(first.directory, "tenants/late.yaml", "{record: {}, servers: [main], policies: ../late}");
  expect(await listed(first, "eve")).toBe("tenant_unknown");
  await first.gateway.reload();
  expect(await listed(first, "eve")).toBe("tenant_unknown");
  await first.gateway.close();

  const second = await openWritten(written, options);
  worlds.push(second);
  expect([await listed(second, "ann"), await listed(second, "eve")]).toEqual([1, 0]);
});
