import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import {
  ask,
  callTool,
  connectModern,
  connectV1,
  openSession,
  openWorld,
  textBelow,
  until,
  type World,
} from "./world.ts";

const TOOLS = [tool("send"), tool("hang"), tool("refund"), tool("secret")];
const POLICY = `package authz

grant contains {"reason": "anyone", "credential": {"source": "left"}} if input.target.upstream == "left"

grant contains {"reason": "anyone"} if input.target.upstream == "right"

deny contains "nobody sees secrets" if input.target.name == "secret"

deny contains "no run sends to the right" if {
	input.principal.run != null
	input.target.upstream == "right"
	input.target.name == "send"
}
`;

let world: World;
let left: Spy;
let right: Spy;

beforeAll(async () => {
  const spy = () =>
    serveSpy({
      tools: () => TOOLS,
      call: ({ params }) => (params.name === "hang" ? undefined : text(`${params.name}`)),
    });
  [left, right] = await Promise.all([spy(), spy()]);
  const credentials = { left: {} };
  const servers = ["one", "both"];
  world = await openWorld({
    config: {
      upstreams: { left: { url: left.url, era: "legacy" }, right: { url: right.url, era: "legacy" } },
      servers: { one: { upstreams: ["left"] }, both: { upstreams: ["left", "right"] } },
      credentials: { left: { type: "signed-jwt", audience: "https://left", upstreams: ["left"] } },
      tenants: { acme: { record: {}, servers, credentials }, globex: { record: {}, servers, credentials } },
      runs: {},
    },
    policies: POLICY,
  });
});
afterAll(async () => {
  await world.close();
  await Promise.all([left.close(), right.close()]);
});

async function begin(user: string, server: string, body: JsonObject = {}) {
  const token = await world.token(user, server);
  const answer = await fetch(`${world.origin}/runs`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(201);
  const run = (await answer.json()) as { readonly id: string; readonly token: string };
  const end = () =>
    fetch(`${world.origin}/runs/${run.id}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${token}` },
    });
  return { ...run, user: token, end };
}

test.each([
  ["legacy", connectV1],
  ["modern", connectModern],
] as const)(
  "a stock %s client sees and calls what its run was given, and nothing else",
  async (_, connect) => {
    const run = await begin("ann", "both", { targets: ["left__refund", { upstream: "right" }] });
    const client = await connect(world.url("both"), run.token);
    expect([...(await client.list())].sort()).toEqual(["left__refund", "right__hang", "right__refund"]);
    expect(await client.call("left__refund", {})).toMatchObject(text("refund"));
    const before = left.calls().length;
    await expect(client.call("left__send", {})).rejects.toThrow("There is no such target here.");
    await expect(client.call("right__send", {})).rejects.toThrow("There is no such target here.");
    expect(left.calls()).toHaveLength(before);
    await client.close();
    const own = await connect(world.url("both"), run.user);
    expect(await own.list()).toHaveLength(6);
    await own.close();
  },
);

test("a run that was ended is refused with a challenge, in both eras, and its session with it", async () => {
  const run = await begin("ann", "one");
  const url = world.url("one");
  const session = await openSession(url, run.token);
  expect((await callTool(url, "send", {}, { token: run.token })).body.result).toBeDefined();
  expect((await run.end()).status).toBe(204);
  for (const sent of [{ era: "legacy", session }, { era: "modern" }] as const) {
    const refused = await callTool(url, "send", {}, { token: run.token, ...sent });
    expect([refused.status, refused.body.error?.data.code]).toEqual([401, "run_ended"]);
    expect(refused.headers.get("www-authenticate")).toContain('error="invalid_token"');
  }
});

test("ending a run cuts what it is doing: a call in flight, and a stream", async () => {
  const run = await begin("ann", "one");
  const url = world.url("one");
  const listening = ask(
    url,
    "subscriptions/listen",
    { notifications: { toolsListChanged: true } },
    { token: run.token, id: 2 },
  ).then(({ text: told }) => told);
  const call = callTool(url, "hang", {}, { token: run.token });
  await until("the call", () => left.calls().some(({ params }) => params.name === "hang"));
  await until("the stream", async () =>
    (await world.decisions()).some((one) => one.method === "subscriptions/listen"),
  );
  expect((await run.end()).status).toBe(204);
  expect((await call).body.error?.data.code).toBe("cancelled");
  expect(await listening).toContain("subscriptions/acknowledged");
});

test("a run's session is not its user's, and the other way round", async () => {
  const run = await begin("ann", "one");
  const url = world.url("one");
  const [ofRun, ofUser] = [await openSession(url, run.token), await openSession(url, run.user)];
  const asked = await Promise.all([
    ask(url, "tools/list", {}, { era: "legacy", token: run.user, session: ofRun }),
    ask(url, "tools/list", {}, { era: "legacy", token: run.token, session: ofUser }),
  ]);
  expect(asked.map(({ status }) => status)).toEqual([404, 404]);
});

test("a run without credentials is refused one, whatever the grant names", async () => {
  const run = await begin("ann", "one", { accounts: [] });
  const before = left.calls().length;
  const refused = await callTool(world.url("one"), "send", {}, { token: run.token });
  expect(refused.body.error?.data.code).toBe("credential_refused");
  expect(left.calls()).toHaveLength(before);
});

test("the run stands in every record of it, its token nowhere", async () => {
  const run = await begin("ann", "one");
  await callTool(world.url("one"), "send", {}, { token: run.token });
  const decisions = await world.decisions();
  expect(decisions.find((one) => one.principal?.run?.id === run.id)).toMatchObject({
    method: "tools/call",
    code: "ok",
    principal: { subject: "ann", tenant: "acme" },
  });
  expect(decisions.find(({ arguments: args }) => args?.run === run.id)).toMatchObject({
    method: "runs/create",
    principal: { subject: "ann", run: null },
  });
  expect(textBelow(`${world.directory}/log`)).not.toContain(run.token.split(".")[2]);
  expect(world.said.join("\n")).not.toContain(run.token.split(".")[2]);
  expect(left.seen.map(({ headers }) => String(headers.authorization)).join("\n")).not.toContain(run.token);
});

test("clients find out where tokens for runs come from", async () => {
  const refused = await fetch(`${world.origin}/runs`, { method: "POST" });
  const [, url = ""] =
    /resource_metadata="([^"]+)"/.exec(refused.headers.get("www-authenticate") ?? "") ?? [];
  expect(await (await fetch(url)).json()).toMatchObject({
    resource: `${world.origin}/runs`,
    authorization_servers: [`${world.origin}/oauth`],
  });
});
