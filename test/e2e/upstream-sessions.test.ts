import { afterAll, beforeAll, expect, test } from "vitest";
import { type Spy, serveSpy } from "./upstreams.ts";
import { callTool, OPEN, openWorld, until, type World } from "./world.ts";

let spy: Spy;
let world: World;

beforeAll(async () => {
  spy = await serveSpy();
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
    },
    policies: OPEN,
  });
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

const sessionIn = ({ headers }: { readonly headers: NodeJS.Dict<string | string[]> }) =>
  String(headers["mcp-session-id"]);
const isEnded = (session: string) =>
  spy.seen.some((one) => one.verb === "DELETE" && sessionIn(one) === session);

/** A call of a modern client, which has no session with the gateway; gives the one that the gateway has for it. */
async function sessionOf(token: string, capabilities = {}): Promise<string> {
  const _meta = { "io.modelcontextprotocol/clientCapabilities": capabilities };
  const { status } = await callTool(world.url("main"), "echo", { text: "hi" }, { token }, { _meta });
  expect(status).toBe(200);
  const { headers } = spy.calls().at(-1) ?? { headers: {} };
  return sessionIn({ headers });
}

test("a client that says something else of itself each time ends no other user's session with an upstream", async () => {
  const [ann, bob] = [await world.token("ann", "main"), await world.token("bob", "main")];
  const bobs = await sessionOf(bob);
  const anns: string[] = [];
  for (let at = 0; at < 130; at++)
    anns.push(await sessionOf(ann, { elicitation: { form: {}, [`x${at}`]: {} } }));
  expect(new Set(anns).size).toBe(130);
  await until("two to end", () => anns.slice(0, 2).every(isEnded));
  expect(spy.seen.filter(({ verb }) => verb === "DELETE")).toHaveLength(2);
  expect(await sessionOf(bob)).toBe(bobs);
});
