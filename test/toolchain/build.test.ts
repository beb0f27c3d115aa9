import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { HOST_BUILTINS } from "../../src/policy/builtins.ts";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { type BuiltPolicy, createToolchain, type PolicySources } from "../../src/policy/toolchain.ts";
import { REFUND, sources, toolchain } from "./support.ts";

const opa = createRequire(import.meta.url)(
  "@open-policy-agent/opa-wasm",
) as typeof import("@open-policy-agent/opa-wasm");

async function build(files: PolicySources["files"], data: JsonObject = {}): Promise<BuiltPolicy> {
  const built = await toolchain.build(sources(files, data));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return built.policy;
}

/** Evaluates in the npm engine; `calls` counts what the module asks of its host. */
async function load({ wasm, data }: BuiltPolicy) {
  const calls = { now: 0 };
  const now = () => {
    calls.now += 1;
    return 1_000_000_000_000;
  };
  const policy = await opa.loadPolicy(wasm, undefined, { "time.now_ns": now });
  policy.setData(data);
  return {
    calls,
    evaluate: (input: JsonObject, entrypoint: string): Json => policy.evaluate(input, entrypoint)[0]?.result,
  };
}

const target = (upstream: string, name: string, labels: string[] = []) => ({
  upstream,
  kind: "tool",
  name,
  labels,
  announced: {},
});
const ann = {
  principal: { roles: ["support"], auth_time: 900 },
  tenant: { id: "acme", refund_limit: 50, blocked_ibans: ["DE00"] },
  server: "support",
  context: { now: 1000 },
};

test("capabilities are one batch: one answer for each target, in order", async () => {
  const { evaluate } = await load(await build({ "refund.rego": REFUND }));
  const targets = Array.from({ length: 400 }, (_, i) =>
    i % 7 === 0 ? target("crm", "refund", ["money"]) : target("crm", `other${i}`, i % 2 ? ["money"] : []),
  );
  const answers = evaluate({ ...ann, targets }, "portcullis/capabilities") as JsonObject[];
  expect(answers).toHaveLength(400);
  for (const [i, answer] of answers.entries()) {
    expect(answer.grants).toHaveLength(i % 7 === 0 ? 1 : 0);
    expect(answer.limits).toHaveLength(targets[i]?.labels.length ?? 0);
    expect(answer.denials).toEqual([]);
  }
  expect(answers[0]?.grants).toMatchObject([
    { arguments: { amount: { maximum: 50 } }, credential: { source: "crm", role: "refunder" } },
  ]);
});

test("a set that no policy defines is empty", async () => {
  const { evaluate } = await load(
    await build({ "a.rego": `package authz\ngrant contains {"reason": "all"}` }),
  );
  expect(evaluate({ ...ann, targets: [target("a", "b")] }, "portcullis/capabilities")).toEqual([
    { grants: [{ reason: "all" }], limits: [], denials: [] },
  ]);
  expect(evaluate({ ...ann, requires: [] }, "portcullis/requirements")).toEqual([]);
});

test("requirements are told by name, and only those asked for are evaluated", async () => {
  const { evaluate, calls } = await load(await build({ "refund.rego": REFUND }));
  const ask = (requires: string[], args: JsonObject) =>
    evaluate(
      { ...ann, target: target("crm", "refund"), arguments: args, requires },
      "portcullis/requirements",
    );
  expect(ask(["account_not_blocked"], { iban: "DE99" })).toEqual(["account_not_blocked"]);
  expect(ask(["account_not_blocked"], { iban: "DE00" })).toEqual([]);
  expect(ask(["account_not_blocked"], {})).toEqual([]);
  expect(calls.now).toBe(0);
  expect(ask(["fresh_login", "unheard_of"], {})).toEqual(["fresh_login"]);
  expect(calls.now).toBe(1);
});

test("a requirement's name may be any text", async () => {
  const policy = await build({
    "a.rego": 'package authz\nholds["a \\"b\\" é"] if input.server == "support"',
  });
  const { evaluate } = await load(policy);
  expect(evaluate({ ...ann, requires: ['a "b" é'] }, "portcullis/requirements")).toEqual(['a "b" é']);
});

test("data stays outside the module, so that it can be replaced", async () => {
  const policy = await build(
    { "a.rego": `package authz\ngrant contains {"reason": r} if some r in data.reasons` },
    { reasons: ["one"] },
  );
  const { evaluate } = await load({ ...policy, data: { reasons: ["two"] } });
  expect(evaluate({ ...ann, targets: [{}] }, "portcullis/capabilities")).toMatchObject([
    { grants: [{ reason: "two" }] },
  ]);
});

test("tests are not built, and a policy cannot lean on them", async () => {
  const helper = "package authz\nhelper if true";
  const policy = `package authz\ngrant contains {"reason": "x"} if helper`;
  const built = await toolchain.build(sources({ "a.rego": policy, "a_test.rego": helper }));
  expect(built).toMatchObject({
    ok: false,
    problems: [{ code: "rego_unsafe_var_error", file: "a.rego", row: 2 }],
  });
});

test("a refused policy is not built", async () => {
  const built = await toolchain.build(
    sources({ "a.rego": "package authz\ngrant contains {} if input.arguments.a" }),
  );
  expect(built).toMatchObject({ ok: false });
});

test("facts say what is read, helpers and other packages included", async () => {
  const { facts } = await build({
    "authz.rego": `package authz
import data.lib
grant contains {"reason": "x", "credential": {"source": input.server, "role": "r"}} if {
	input.target.upstream == "crm"
	lib.supports(input.principal)
}
# METADATA
# title: open hours
# custom:
#   step_up: {max_age: 60, scope: pay}
#   optional: [note]
holds.open if lib.open_for(input.arguments)`,
    "lib.rego": `package lib
supports(p) if "support" in p.roles
open_for(a) if {
	a.order.iban == "x"
	a.note == "y"
	clock > 3
	some item in a.items
	item.price < 3
}
clock := time.now_ns()`,
  });
  expect(facts).toEqual({
    requirements: [
      {
        name: "open",
        title: "open hours",
        stepUp: { max_age: 60, scope: "pay" },
        optional: ["note"],
        argumentsRead: [["items"], ["note"], ["order", "iban"]],
      },
    ],
    reads: {
      capability: [["principal", "roles"], ["server"], ["target", "upstream"]],
      holds: [
        ["arguments", "items"],
        ["arguments", "note"],
        ["arguments", "order", "iban"],
      ],
    },
    clock: { capability: false, holds: true },
    credentials: [{ source: null, role: "r", upstream: "crm", file: "authz.rego", row: 3, col: 1 }],
  });
});

test("facts of a policy that says little are empty, never absent", async () => {
  const { facts } = await build({ "a.rego": `package authz\ngrant contains {"reason": "all"}` });
  expect(facts).toEqual({
    requirements: [],
    reads: { capability: [], holds: [] },
    clock: { capability: false, holds: false },
    credentials: [],
  });
});

test("one requirement that reads the clock is enough for the clock to be read", async () => {
  const { facts } = await build({
    "a.rego": "package authz\nholds.a if time.now_ns() > 3\nholds.b if input.principal.auth_time > 3",
  });
  expect(facts.clock).toEqual({ capability: false, holds: true });
});

test("of alternatives the first title and step-up count, and the title of a package is no requirement's", async () => {
  const { facts } = await build({
    "a.rego": `# METADATA
# title: the package
package authz
# METADATA
# custom:
#   step_up: {max_age: 60}
#   optional: [note, iban]
holds.a if input.arguments.iban == "x"
# METADATA
# title: second
# custom:
#   step_up: {max_age: 90}
#   optional: [iban]
holds.a if input.arguments.note == "x"
holds.b if input.principal.auth_time > 3`,
  });
  expect(facts.requirements).toMatchObject([
    { name: "a", title: "second", stepUp: { max_age: 60 }, optional: ["iban", "note"] },
    { name: "b", title: "b", stepUp: null },
  ]);
});

test("a value that is the answer itself is read whole", async () => {
  const { facts } = await build({
    "a.rego": `package authz
grant contains g if { g := input.tenant.rules[0]; input.target.upstream == "a" }
deny contains input.tenant.id if input.tenant.rules[_].tool == "x"`,
  });
  expect(facts.reads.capability).toEqual([
    ["target", "upstream"],
    ["tenant", "id"],
    ["tenant", "rules"],
  ]);
});

test("a value that is compared whole is read whole", async () => {
  const { facts } = await build(
    {
      "a.rego": `package authz
grant contains {"reason": "x"} if { t := input.tenant; t.refund_limit > 1; t == data.favourite }
grant contains {"reason": "y"} if { input.context.now > 5; some p in [input.principal.roles]; count(p) > 1 }`,
    },
    { favourite: {} },
  );
  expect(facts.reads.capability).toEqual([["context", "now"], ["principal", "roles"], ["tenant"]]);
  expect(facts.clock).toEqual({ capability: true, holds: false });
});

test("the same sources have the same digest, from whichever client; any change has another", async () => {
  const other = createToolchain();
  const elsewhere = await other.build(sources({ "b.rego": "package b", "a.rego": REFUND }, { x: 1, y: 2 }));
  await other.close();
  const here = await build({ "a.rego": REFUND, "b.rego": "package b" }, { y: 2, x: 1 });
  expect(elsewhere.ok && elsewhere.policy.sha256).toBe(here.sha256);
  expect(elsewhere.ok && Buffer.from(elsewhere.policy.wasm).equals(here.wasm)).toBe(true);
  const changed = [
    await build({ "a.rego": REFUND.replace("10000", "10001"), "b.rego": "package b" }, { x: 1, y: 2 }),
    await build({ "a.rego": REFUND, "b.rego": "package b" }, { x: 1, y: 3 }),
    await build(
      { "a.rego": REFUND.replace("max_age: 300", "max_age: 301"), "b.rego": "package b" },
      { x: 1, y: 2 },
    ),
  ];
  expect(new Set([here, ...changed].map((p) => p.sha256)).size).toBe(4);
});

const vocabulary = JSON.parse(readFileSync("toolchain/capabilities.json", "utf8")) as Record<
  "native" | "hosted" | "clock",
  string[]
>;

test("the builtins that the engine supplies are those that policies may call and the module lacks or gets wrong", () => {
  const { clock, hosted } = vocabulary;
  expect([...clock, ...hosted].sort()).toEqual(Object.keys(HOST_BUILTINS).sort());
});

/** A call of each other builtin that has no operator, with `x` for the server's name, "support". */
const CALLS = `abs(-1) array.concat([x],[x]) array.flatten([[x]]) array.reverse([x]) array.slice([x],0,1)
base64.decode("eA==") base64.encode(x) base64.is_valid(x) base64url.decode("eA") base64url.encode(x)
bits.and(1,3) bits.lsh(1,1) bits.negate(1) bits.or(1,2) bits.rsh(2,1) bits.xor(1,3) ceil(1.5) concat(",",[x])
contains(x,"up") count(x) endswith(x,"t") floor(1.5) format_int(10,2) glob.match("s*",[],x) graph.reachable({"a":[]},{"a"})
indexof(x,"u") intersection({{x}}) is_array([x]) is_boolean(true) is_null(null) is_number(1) is_object({}) is_set({x})
is_string(x) json.filter({"a":x},["a"]) json.is_valid("1") json.marshal(x) json.remove({"a":x},["a"]) json.unmarshal("1")
lower(x) max([1]) min([1]) net.cidr_contains("10.0.0.0/8","10.1.1.1") net.cidr_intersects("10.0.0.0/8","10.1.0.0/16")
object.filter({"a":x},["a"]) object.get({"a":x},"a",1) object.keys({"a":x}) object.remove({"a":x},["b"])
object.union({"a":x},{}) object.union_n([{"a":x}]) product([1]) regex.find_all_string_submatch_n("s",x,-1)
regex.is_valid("s") regex.match("^s",x) round(1.5) sort([x]) split(x,"p") startswith(x,"s")
strings.replace_n({"s":"t"},x) strings.reverse(x) substring(x,0,1) sum([1]) to_number("1") trim(x,"s") trim_left(x,"s")
trim_prefix(x,"s") trim_right(x,"s") trim_space(x) trim_suffix(x,"s") type_name(x) union({{x}}) upper(x) walk([x])`;
const OPERATORS =
  "and assign div eq equal gt gte internal.member_2 internal.member_3 internal.template_string lt lte minus mul neq or plus rem";

test("every other builtin that policies may call works, without a clock", async () => {
  const calls = CALLS.split(/\s+/);
  const names = [...calls.map((call) => call.split("(")[0]), ...OPERATORS.split(" ")];
  expect(names.sort()).toEqual([...vocabulary.native, ...vocabulary.hosted].sort());
  const rules = calls.map(
    (call, i) => `grant contains {"reason": "${i}"} if { x := input.server; count([x, ${call}]) == 2 }`,
  );
  const { wasm } = await build({ "a.rego": `package authz\n${rules.join("\n")}` });
  const limits = { steps: 5_000_000, memory: 64 << 20 };
  const instance = createInstance(await loadProgram(wasm, "{}", limits));
  const input = jsonBuffer(JSON.stringify({ ...ann, targets: [{}] }));
  const answers = instance.evaluate("portcullis/capabilities", input, 0, limits.steps);
  const [answer] = answers as { grants: Json[] }[];
  expect(answer?.grants).toHaveLength(calls.length);
});

test("twenty builds in a row do not crash", async () => {
  const digests = new Set<string>();
  for (let i = 0; i < 20; i++) digests.add((await build({ "a.rego": REFUND })).sha256);
  expect(digests.size).toBe(1);
});
