import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Spy, serveSpy, text } from "./upstreams.ts";
import { callTool, OPEN, openWorld, type World, writeIn } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "anyone"}

grant contains {"reason": "misspelt", "rank": 1, "arguments": {"text": data.bound}}

grant contains {"reason": "elsewhere", "rank": 2, "arguments": {"amount": {"maximum": 5}}}
`;

let spy: Spy;
let world: World;

beforeAll(async () => {
  spy = await serveSpy({ call: () => text("done") });
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
    },
    policies: { "main.rego": POLICY, "data.json": JSON.stringify({ bound: { maximun: 5 } }) },
  });
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const MALFORMED = "grant.arguments.text.maximun is not a bound";
const UNDECLARED = 'grant "elsewhere" is unusable: the target does not declare /amount';

function notes() {
  return world.gateway.status().schemas.filter(({ target }) => target === "spy: echo");
}

test("a malformed grant that was dropped stands in the record of an allowed call", async () => {
  const token = await world.token("ann", "main");
  await callTool(world.url("main"), "echo", { text: "x" }, { token });
  const [call] = (await world.decisions()).filter(({ method }) => method === "tools/call");
  expect(call).toMatchObject({
    effect: "allow",
    code: "ok",
    grant: { reason: "anyone" },
    reasons: [MALFORMED],
  });
  await callTool(world.url("main"), "echo", { text: 5 }, { token });
  const [, refused] = (await world.decisions()).filter(({ method }) => method === "tools/call");
  expect(refused).toMatchObject({ effect: "deny", code: "arguments_invalid" });
  expect(refused?.reasons).toEqual(["/text: type", MALFORMED]);
});

test("status names the grants that were dropped or are unusable, until the policies are mended", async () => {
  expect(notes().map(({ note }) => note)).toEqual(
    [MALFORMED, UNDECLARED].map((mistake) => `policy for acme: ${mistake}`),
  );
  await writeIn(world.directory, "policies/main.rego", OPEN);
  await rm(join(world.directory, "policies/data.json"));
  await world.gateway.reload();
  expect(notes()).toEqual([]);
  const token = await world.token("ann", "main");
  await callTool(world.url("main"), "echo", { text: "x" }, { token });
  expect(notes()).toEqual([]);
});
