import { afterAll, beforeAll, expect, test } from "vitest";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { type Answered, callTool, OPEN, openWorld, until, type World } from "./world.ts";

let spy: Spy;
let world: World;
const held: (() => void)[] = [];

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => [tool("hold"), tool("now")],
    async call({ params }) {
      if (params.name === "hold") await new Promise<void>((go) => held.push(go));
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
