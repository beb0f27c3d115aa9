import { queryObjects } from "node:v8";
import { afterAll, expect, test } from "vitest";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { createInstancePool } from "../../src/policy/instance-pool.ts";
import { cpuClock } from "../support/cpu.ts";
import { build, context, engineOf, LIMITS, NOW, principal, target, toolchain, wanted } from "./world.ts";

afterAll(() => toolchain.close());

const POLICY = `
grant contains {"reason": "all"} if input.target.kind == "tool"
holds.triple if {
	some a in input.arguments.list
	some b in input.arguments.list
	some c in input.arguments.list
	a + b + c == -1
}
holds.pairs if count({[a, b] | some a in input.arguments.list; some b in input.arguments.list}) < 0
holds.parses if json.unmarshal(input.arguments.text)
holds.matches if regex.match(input.arguments.pattern, input.arguments.text)
holds.conflict if twice
twice := true if input.arguments.a
twice := false if input.arguments.b
holds.good if input.arguments.text == "good"
`;

test.each([
  [
    "three nested loops over what a client sent",
    "triple",
    { list: Array.from({ length: 300 }, (_, i) => i) },
  ],
  ["a set that OPA's C code builds", "pairs", { list: Array.from({ length: 5000 }, (_, i) => i) }],
  ["a long JSON text", "parses", { text: `[${"1,".repeat(900_000)}1]` }],
  ["a nested JSON text", "parses", { text: "[".repeat(100_000) }],
  ["a pattern over a long text", "matches", { pattern: "(x+x+)+y|(a|b|ab)*c", text: "ab".repeat(900_000) }],
])("%s is cut and denies, and the next evaluation works", async (_, name, args) => {
  const source = (await engineOf(POLICY)).requirements(context(), target());
  const cost = cpuClock();
  expect(source.hold([wanted(name)], args)).toEqual([false]);
  // About 50 ms; a loaded machine is given its time, three nested loops uncut would take 90 s.
  expect(cost()).toBeLessThan(5000);
  expect(source.hold([wanted("good")], { text: "good" })).toEqual([true]);
});

test("memory stops at its ceiling, and the evaluation is denied", async () => {
  const policy = await build(POLICY);
  const program = await loadProgram(policy.wasm, "{}", { steps: 0x7fffffff, memory: 4 * 1024 * 1024 });
  const instance = createInstance(program);
  const input = {
    ...context(),
    target: target(),
    requires: ["pairs"],
    arguments: { list: Array.from({ length: 1000 }, (_, i) => i) },
  };
  expect(() =>
    instance.evaluate("portcullis/requirements", jsonBuffer(JSON.stringify(input)), NOW, 0x7fffffff),
  ).toThrow(/malloc|memory|grow/i);
  expect(instance.memory).toBeLessThanOrEqual(4 * 1024 * 1024);
});

test("an input over its size, its depth, or with a lone surrogate never reaches the evaluator", async () => {
  const input = { inputBytes: 4096, inputDepth: 8 };
  const pool = createInstancePool(1);
  const source = (await engineOf(POLICY, { input, pool })).requirements(context(), target());
  const deep = Array.from({ length: 9 }).reduce<unknown>((inner) => [inner], 1);
  for (const text of ["x".repeat(5000), "\ud800", "a\\\udfff", deep]) {
    expect(source.hold([wanted("good")], { text } as never)).toEqual([false]);
  }
  expect(pool.size).toBe(0);
  expect(source.hold([wanted("good")], { text: "good", unread: "\ud800" })).toEqual([true]);
});

test.each(["\\ud800", "\\\\ud800 \ud83d\ude00", '"\\\u0000'])(
  "text that only looks dangerous is decided: %j",
  async (text) => {
    const engine = await engineOf(
      `grant contains {"reason": "x"} if input.target.name == "x"\nholds.same if input.arguments.text == data.text`,
      { data: { text } },
    );
    expect(engine.requirements(context(), target()).hold([wanted("same")], { text })).toEqual([true]);
  },
);

test("an instance that threw is not used again: 3,000 conflicts in a row leave the next decision right", async () => {
  const source = (await engineOf(POLICY)).requirements(context(), target());
  for (let i = 0; i < 3000; i++) {
    expect(source.hold([wanted("conflict")], { a: true, b: true })).toEqual([false]);
  }
  expect(source.hold([wanted("good")], { text: "good" })).toEqual([true]);
});

test("an instance that one evaluation blew up is not kept", async () => {
  const pool = createInstancePool(4);
  const source = (await engineOf(POLICY, { pool })).requirements(context(), target());
  source.hold([wanted("good")], { text: "good" });
  expect(pool.size).toBe(1);
  source.hold([wanted("good")], { text: "x".repeat(1_900_000), list: [] });
  source.hold([wanted("parses")], { text: `[${"1,".repeat(90_000)}1]` });
  expect(pool.size).toBe(0);
});

test("the least recently used instance goes first, and comes back with its data", async () => {
  const pool = createInstancePool(2);
  const policy = await build(`grant contains {"reason": data.name} if input.target.kind == "tool"`, {
    name: "",
  });
  const programs = await Promise.all(
    ["a", "b", "c"].map((name) => loadProgram(policy.wasm, JSON.stringify({ name }), LIMITS)),
  );
  const input = JSON.stringify({ ...context(), targets: [target()] });
  const ask = (at: number) => {
    const program = programs[at];
    return program && pool.evaluate(program, "portcullis/capabilities", input, NOW, { steps: LIMITS.steps });
  };
  const answer = (name: string) => ({
    ok: true,
    value: [{ grants: [{ reason: name }], limits: [], denials: [] }],
  });
  for (const [at, name] of [
    [0, "a"],
    [1, "b"],
    [2, "c"],
    [0, "a"],
    [1, "b"],
  ] as const) {
    expect(ask(at)).toEqual(answer(name));
    expect(pool.size).toBeLessThanOrEqual(2);
  }
});

test("a list whose every target fails costs one evaluation for each batch, and two more", async () => {
  const engine = await engineOf(
    `grant contains {"reason": "slow"} if {
	some a in data.list
	some b in data.list
	some c in data.list
	a + b + c == input.principal.auth_time
}`,
    { data: { list: Array.from({ length: 300 }, (_, i) => i) } },
  );
  const cost = cpuClock();
  const answers = engine.capabilities(
    context(),
    Array.from({ length: 400 }, (_, i) => target({ name: `t${i}` })),
  );
  expect(answers.every(({ denials, grants }) => denials.length === 1 && grants.length === 0)).toBe(true);
  expect(cost()).toBeLessThan(10_000);
});

test("thirty functions that each call the next one twice, without a loop, are cut", async () => {
  const functions = Array.from({ length: 40 }, (_, i) => `f${i}(x) if { f${i + 1}(x); f${i + 1}([x]) }`).join(
    "\n",
  );
  const engine = await engineOf(`grant contains {"reason": "x"} if input.target.name == "x"
${functions}
f40(x) if x != null
holds.doubled if f0(input.server)
holds.good if input.server == "support"`);
  const source = engine.requirements(context(), target());
  const cost = cpuClock();
  expect(source.hold([wanted("doubled")], {})).toEqual([false]);
  expect(cost()).toBeLessThan(5000);
  expect(source.hold([wanted("good")], {})).toEqual([true]);
});

test("a list of five thousand targets is decided, each as it would be alone, in their order", async () => {
  const rules = Array.from(
    { length: 100 },
    (_, i) =>
      `grant contains {"reason": "rule ${i}"} if { input.target.name == "tool_${i}"; "role_${i}" in input.principal.roles }`,
  );
  const engine = await engineOf(rules.join("\n"));
  const who = context({ principal: principal({ roles: Array.from({ length: 50 }, (_, i) => `role_${i}`) }) });
  const targets = Array.from({ length: 5000 }, (_, i) => target({ name: `tool_${i % 100}` }));
  const answers = engine.capabilities(who, targets);
  expect(answers.map(({ denials }) => denials.length)).toEqual(targets.map(() => 0));
  expect(answers.map(({ grants }) => grants.map(({ reason }) => reason))).toEqual(
    targets.map((_, i) => (i % 100 < 50 ? [`rule ${i % 100}`] : [])),
  );
});

test("integers beyond 2^53 stay what they are inside, and a bound that would be rounded is refused", async () => {
  const engine =
    await engineOf(`grant contains {"reason": "big", "arguments": {"id": {"const": 9007199254740992 + 1}}} if input.target.kind == "tool"
holds.exact if 9007199254740992 + 1 == 9007199254740993`);
  expect(engine.capabilities(context(), [target()])[0]).toMatchObject({
    grants: [],
    denials: [],
    faults: [expect.stringContaining("2^53")],
  });
  expect(engine.requirements(context(), target()).hold([wanted("exact")], {})).toEqual([true]);
});

test("a module that needs a builtin of a host that is not this one is refused when it is loaded", async () => {
  const { wasm } = await build(
    `grant contains {"reason": $"{time.now_ns()}"} if input.target.kind == "tool"`,
  );
  const other = Buffer.from(
    Buffer.from(wasm).toString("latin1").replaceAll("time.now_ns", "time.ago_ns"),
    "latin1",
  );
  await expect(loadProgram(other, "{}", LIMITS)).rejects.toThrow("time.ago_ns");
});

test("data that is not JSON, or does not fit the memory, is refused when it is loaded", async () => {
  const { wasm } = await build(POLICY);
  await expect(loadProgram(wasm, "{", LIMITS)).rejects.toBeDefined();
  const large = JSON.stringify({ text: "x".repeat(9_000_000) });
  await expect(loadProgram(wasm, large, { ...LIMITS, memory: 8 * 1024 * 1024 })).rejects.toBeDefined();
});

test("arguments named like members of Object.prototype are seen, and nothing is inherited", async () => {
  const engine = await engineOf(`grant contains {"reason": "x"} if input.target.name == "x"
holds.proto if input.arguments["__proto__"] == "set"
holds.ctor if input.arguments["constructor"]`);
  const source = engine.requirements(context(), target());
  const sent = JSON.parse('{"__proto__": "set"}') as Record<string, string>;
  expect(source.hold([wanted("proto"), wanted("ctor")], sent)).toEqual([true, false]);
});

test("a zone of a client's choice is kept once, however its name is spelled", async () => {
  const policy = `
grant contains {"reason": "all"} if input.target.kind == "tool"
holds.nowhere if {
	some zone in input.arguments.zones
	time.clock([0, zone])[0] > 24
}
`;
  const source = (await engineOf(policy)).requirements(context(), target());
  const zones = Array.from({ length: 512 }, (_, at) => {
    const letters = [..."enosaires"].map((one, bit) => (at & (1 << bit) ? one.toUpperCase() : one)).join("");
    return `America/Argentina/Bu${letters.slice(0, 4)}_${letters.slice(4)}`;
  });
  const formats = () => Number(queryObjects(Intl.DateTimeFormat));
  const before = formats();
  expect(source.hold([wanted("nowhere")], { zones })).toEqual([false]);
  expect(formats() - before).toBeLessThanOrEqual(1);
});

test("a decision that began before a swap leaves no instance of the old policies behind", async () => {
  const pool = createInstancePool(8);
  const policy = await build(POLICY);
  const programs = await Promise.all([1, 2, 3].map(() => loadProgram(policy.wasm, "{}", LIMITS)));
  const input = JSON.stringify({ ...context(), targets: [target()] });
  for (const program of programs) {
    const ask = () => pool.evaluate(program, "portcullis/capabilities", input, NOW, { steps: LIMITS.steps });
    expect(ask().ok).toBe(true);
    pool.release(program);
    expect(ask().ok).toBe(true);
    expect(pool.size).toBe(0);
  }
});
