import { afterAll, beforeAll, expect, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { type Answered, ask, callTool, openSession, openWorld, type Sent, type World } from "./world.ts";

const TOOLS = [
  tool("send", { text: { type: "string" } }),
  // A caller that leaves this header out must not learn by it that there is such a tool.
  tool("secret", { text: { type: "string", "x-mcp-header": "Text" } }),
  tool("refund", { amount: { type: "number" }, currency: { type: "string" } }),
];
const POLICY = `package authz

grant contains {"reason": "the left one sends"} if {
	input.target.upstream == "left"
	input.target.name == "send"
}

grant contains {"reason": "anything on the right"} if input.target.upstream == "right"

deny contains "the right one never sends" if {
	input.target.upstream == "right"
	input.target.name == "send"
}

grant contains {
	"reason": "small refunds",
	"arguments": {"amount": {"maximum": 100}, "currency": {"const": "EUR"}},
} if {
	input.target.upstream == "left"
	input.target.name == "refund"
}

grant contains {"reason": "all see secrets, but for the denial"} if input.target.name == "secret"

deny contains "nobody sees secrets" if input.target.name == "secret"
`;

let world: World;
let left: Spy;
let right: Spy;
let token: string;

beforeAll(async () => {
  const spy = () => serveSpy({ tools: () => TOOLS, call: ({ params }) => text(`${params.name}`) });
  [left, right] = await Promise.all([spy(), spy()]);
  world = await openWorld({
    config: {
      upstreams: { left: { url: left.url, era: "legacy" }, right: { url: right.url, era: "legacy" } },
      servers: { one: { upstreams: ["left"] }, both: { upstreams: ["left", "right"] } },
    },
    policies: POLICY,
  });
  token = await world.token("ann", "one");
});
afterAll(async () => {
  await world.close();
  await Promise.all([left.close(), right.close()]);
});

async function speaking(era: Era): Promise<Sent> {
  if (era === "modern") return { token, era };
  return { token, era, session: await openSession(world.url("one"), token) };
}

/** All that an agent can tell two answers apart by. */
function shown({ status, headers, text: said }: Answered) {
  const { date: _, ...rest } = Object.fromEntries(headers);
  return { status, headers: rest, said };
}

test.each(["legacy", "modern"] as const)(
  "a hidden and an unknown tool answer the same bytes to a %s caller; the record tells them apart",
  async (era) => {
    const sent = await speaking(era);
    const before = left.calls().length;
    const hidden = await callTool(world.url("one"), "secret", { text: "x" }, sent);
    const unknown = await callTool(world.url("one"), "secreT", { text: "x" }, sent);
    expect(shown(hidden)).toEqual(shown(unknown));
    expect(hidden.body.error).toMatchObject({ code: -32602, data: { code: "not_found" } });
    expect(left.calls().length).toBe(before);
    const [first, second] = (await world.decisions()).slice(-2);
    expect(first).toMatchObject({
      effect: "deny",
      target: { upstream: "left", name: "secret" },
      reasons: ["nobody sees secrets"],
    });
    expect(second).toMatchObject({
      effect: "deny",
      target: { upstream: "", name: "secreT" },
      reasons: ["no such target in the catalog"],
    });
  },
);

interface Listed {
  readonly name: string;
  readonly inputSchema: { readonly properties: Readonly<Record<string, object>> };
}

async function listed(server: string): Promise<readonly Listed[]> {
  const answer = await ask(world.url(server), "tools/list", {}, { token: await world.token("ann", server) });
  return answer.body.result?.tools as unknown as readonly Listed[];
}

test("what the listed schema says is what is enforced", async () => {
  const refund = (await listed("one")).find(({ name }) => name === "refund");
  expect(refund?.inputSchema.properties).toMatchObject({
    amount: { type: "number", maximum: 100 },
    currency: { enum: ["EUR"] },
  });
  const before = left.calls().length;
  const call = (args: Record<string, number | string>) =>
    callTool(world.url("one"), "refund", args, { token });
  expect((await call({ amount: 100, currency: "EUR" })).body.result).toBeDefined();
  for (const [args, pointer] of [
    [{ amount: 100.01, currency: "EUR" }, "/amount"],
    [{ amount: 1, currency: "USD" }, "/currency"],
    [{ amount: "1", currency: "EUR" }, "/amount"],
    [{ amount: 1 }, "/currency"],
    [{ amount: 1, currency: "EUR", memo: "undeclared" }, "/memo"],
  ] as const) {
    const { body } = await call({ ...args });
    expect(body.error?.data.code, JSON.stringify(args)).toMatch(/^argument/);
    expect(JSON.stringify(body.error), JSON.stringify(args)).toContain(pointer);
  }
  expect(left.calls().length).toBe(before + 1);
});

test("tools keep their names behind one upstream and have its name before theirs behind several", async () => {
  expect((await listed("one")).map(({ name }) => name)).toEqual(["send", "refund"].sort());
  expect(new Set((await listed("both")).map(({ name }) => name))).toEqual(
    new Set(["left__send", "left__refund", "right__refund"]),
  );
  const plain = await callTool(world.url("both"), "send", {}, { token: await world.token("ann", "both") });
  expect(plain.body.error?.data.code).toBe("not_found");
  const prefixed = await callTool(world.url("one"), "left__send", {}, { token });
  expect(prefixed.body.error?.data.code).toBe("not_found");
});

test("one tool name on two upstreams stays two targets, each under its own rule", async () => {
  const both = { token: await world.token("ann", "both") };
  const before = [left.calls().length, right.calls().length];
  expect((await callTool(world.url("both"), "left__send", {}, both)).body.result).toBeDefined();
  expect((await callTool(world.url("both"), "right__send", {}, both)).body.error?.data.code).toBe(
    "not_found",
  );
  // The left one's bounds are not the right one's.
  const large = { amount: 5000, currency: "USD" };
  expect((await callTool(world.url("both"), "right__refund", large, both)).body.result).toBeDefined();
  expect((await callTool(world.url("both"), "left__refund", large, both)).body.error).toBeDefined();
  expect(left.calls().at(-1)?.params.name).toBe("send");
  expect(right.calls().at(-1)?.params.name).toBe("refund");
  expect([left.calls().length, right.calls().length]).toEqual(
    [before[0] ?? 0, before[1] ?? 0].map((n) => n + 1),
  );
});
