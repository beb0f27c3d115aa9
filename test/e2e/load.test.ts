import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isJsonObject, type JsonObject } from "../../src/lib/json.ts";
import { callBytes, callUnread, openRaw } from "./raw-session.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { type Answered, callTool, OPEN, openWorld, until, type World } from "./world.ts";

let spy: Spy;
let world: World;
const held: (() => void)[] = [];
/** Of an answer that no connection's buffers have room for. */
const LONG = 7 << 20;

const tokenIn = ({ _meta }: JsonObject) => (isJsonObject(_meta) ? (_meta.progressToken ?? null) : null);

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => ["hold", "now", "tell", "long"].map((name) => tool(name)),
    async call({ params, response }) {
      if (params.name === "long") return text("x".repeat(LONG));
      if (params.name === "tell") {
        const told = {
          method: "notifications/progress",
          params: { progressToken: tokenIn(params), progress: 1 },
        };
        response.setHeader("content-type", "text/event-stream");
        response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...told })}\n\n`);
      }
      if (params.name !== "now") await new Promise<void>((go) => held.push(go));
      return text("done");
    },
  });
  const given = { record: {}, servers: ["main"] };
  const acme = { tenant: "acme", roles: ["support"] };
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      tenants: { acme: given, globex: given },
      authorization_server: {
        users: { ann: acme, bob: acme, cho: acme, dee: { ...acme, tenant: "globex" } },
      },
      limits: { in_flight: 8, tenant_share: 0.5 },
    },
    policies: OPEN,
  });
});
afterAll(async () => {
  for (const go of held) go();
  await world.close();
  await spy.close();
});

const codeOf = ({ status, body }: Answered) => [status, body.error?.data.code ?? "ok"];

test("whoever's slow calls fill their share is refused, and the others are served", async () => {
  const users = ["ann", "bob", "cho", "dee"];
  const [ann, bob, cho, dee] = await Promise.all(users.map((user) => world.token(user, "main")));
  const call = (name: string, token = "") => callTool(world.url("main"), name, {}, { token });
  const slow = [call("hold", ann), call("hold", ann)];
  await until("both of them are upstream", () => held.length === 2);

  expect(codeOf(await call("now", ann))).toEqual([503, "overloaded"]);
  expect(codeOf(await call("now", bob))).toEqual([200, "ok"]);
  expect(codeOf(await call("now", dee))).toEqual([200, "ok"]);

  slow.push(call("hold", bob), call("hold", bob));
  await until("the tenant's share is full", () => held.length === 4);
  expect(codeOf(await call("now", bob))).toEqual([503, "overloaded"]);
  expect(codeOf(await call("now", cho))).toEqual([503, "overloaded"]);
  expect(codeOf(await call("now", dee))).toEqual([200, "ok"]);

  for (const go of held.splice(0)) go();
  for (const answered of await Promise.all(slow)) expect(codeOf(answered)).toEqual([200, "ok"]);
  expect(codeOf(await call("now", ann))).toEqual([200, "ok"]);
  const refused = (await world.decisions()).filter(({ code }) => code === "overloaded");
  expect(refused.map(({ principal, reasons }) => [principal?.subject, reasons])).toEqual([
    ["ann", ["the user's share of 2 is being answered"]],
    ["bob", ["the user's share of 2 is being answered"]],
    ["cho", ["the tenant's share of 4 is being answered"]],
  ]);
});

test("whoever follows an answer is counted as at work, however many connections ask for it", async () => {
  const ann = await openRaw(world.url("main"), await world.token("ann", "main"));
  const calling = await ann.call(5, "tools/call", {
    name: "tell",
    arguments: {},
    _meta: { progressToken: "p" },
  });
  await calling.next("notifications/progress");
  const id = calling.events[0]?.id ?? "";
  const following = await ann.get(id);
  expect(following.status).toBe(200);
  const another = await ann.get(id);
  expect([another.status, JSON.parse(another.text).error.data.code]).toEqual([503, "overloaded"]);
  following.close();
  const again = await until("the place to be free", async () => {
    const stream = await ann.get(id);
    return stream.status === 200 ? stream : undefined;
  });
  for (const go of held.splice(0)) go();
  await ann.delete();
  again.close();
});

test("an answer is of its user's share until it is taken", async () => {
  const token = await world.token("ann", "main");
  const ended = async () => (await world.outcomes()).filter(({ bytes }) => bytes > LONG).length;
  const slow = [1, 2].map(() => callUnread(world.url("main"), token, "long"));
  await until("both of them are answered", async () => (await ended()) === 2);
  const now = () => callTool(world.url("main"), "now", {}, { token });
  expect(codeOf(await now())).toEqual([503, "overloaded"]);
  for (const socket of slow) socket.destroy();
  await until("the places to be free", async () => (await now()).status === 200);
});

test("who asks again on a connection before its answer came, and leaves, holds no place", async () => {
  const url = world.url("main");
  const token = await world.token("ann", "main");
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(callBytes(url, token, "hold") + callBytes(url, token, "now").repeat(2));
  const refused = async () => (await world.decisions()).some(({ code }) => code === "request_pipelined");
  await until("the third is refused", refused);
  socket.destroy();
  const now = () => callTool(url, "now", {}, { token });
  await until("the place to be free", async () => (await now()).status === 200);
  // Her share is two: neither is held.
  const beside = callTool(url, "hold", {}, { token });
  await until("it is upstream", () => held.length > 0);
  expect(codeOf(await now())).toEqual([200, "ok"]);
  for (const go of held.splice(0)) go();
  expect(codeOf(await beside)).toEqual([200, "ok"]);
});
