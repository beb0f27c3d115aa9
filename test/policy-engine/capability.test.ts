import { afterAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createEngine } from "../../src/policy/engine.ts";
import { createInstancePool } from "../../src/policy/instance-pool.ts";
import { open } from "../policy-bounds/open.ts";
import { MONEY } from "../toolchain/money.ts";
import { context, engineOf, layerOf, NOW, principal, target, toolchain, wanted } from "./world.ts";

afterAll(() => toolchain.close());

const POLICY = `
grant contains {
	"reason": "support refunds",
	"arguments": {"amount": {"maximum": input.tenant.refund_limit}},
	"requires": ["fresh_login"],
	"credential": {"source": "crm", "role": "refunder"},
} if {
	"support" in input.principal.roles
	input.target.upstream == "crm"
	input.target.name == "refund"
}

${MONEY}
# METADATA
# title: a small note
# custom:
#   optional: [note]
holds.small_note if not long_note

long_note if count(input.arguments.note) > 3
`;

test("grants, limits and denials come with their layer and their defaults", async () => {
  const engine = await engineOf(POLICY);
  const [capability] = engine.capabilities(context(), [target()]);
  expect(capability).toEqual({
    grants: [
      {
        layer: "platform",
        reason: "support refunds",
        rank: 100,
        arguments: { amount: { maximum: 500 } },
        others: true,
        requires: ["fresh_login"],
        credential: { source: "crm", role: "refunder" },
        interaction: [],
      },
    ],
    limits: [
      { layer: "platform", arguments: { amount: { maximum: 10000 } }, requires: [], mustExist: false },
    ],
    denials: [],
    faults: [],
  });
});

test("a batch answers for each target, in order", async () => {
  const engine = await engineOf(POLICY);
  const both = { principal: principal({ roles: ["support", "contractor"] }) };
  const targets = [
    target({ name: "other", labels: [] }),
    target(),
    target({ upstream: "files" }),
    target({ labels: [] }),
  ];
  const answers = engine.capabilities(context(both), targets);
  expect(answers.map(({ grants, denials }) => [grants.length, denials.length])).toEqual([
    [0, 0],
    [1, 1],
    [0, 1],
    [1, 0],
  ]);
  expect(answers).toEqual(targets.flatMap((one) => engine.capabilities(context(both), [one])));
});

test("limits and denials of both layers hold for the grants of both", async () => {
  const platform = await layerOf(POLICY);
  const tenant = await layerOf(
    `grant contains {"reason": "ours"} if input.target.name == "refund"
limit contains {"arguments": {"amount": {"maximum": 7}}}
deny contains "closed today" if input.tenant.id == "acme"`,
    { layer: "tenant" },
  );
  const engine = createEngine({ platform, tenant, log: silentLog });
  const [capability] = engine.capabilities(context(), [target()]);
  expect(capability?.grants.map(({ layer }) => layer)).toEqual(["platform", "tenant"]);
  expect(capability?.limits.map(({ layer }) => layer)).toEqual(["platform", "tenant"]);
  expect(capability?.denials).toEqual(["closed today"]);
  expect(engine.revision).toEqual({ platform: platform.revision, tenant: tenant.revision });
});

test("a malformed grant is dropped, a malformed limit or denial denies, and both are recorded", async () => {
  const engine = await engineOf(
    `grant contains data.grants[_] if input.target.upstream == "crm"
limit contains data.limits[_] if input.target.name == "limited"
deny contains data.denials[_] if input.target.name == "denied"`,
    {
      data: {
        grants: [
          { reason: "good" },
          { reason: "obliged", watermark: true },
          { reason: "id", arguments: { id: { const: 2 ** 53 } } },
        ],
        limits: [{ arguments: { amount: { maximun: 5 } } }],
        denials: [5],
      },
    },
  );
  const names = ["plain", "limited", "denied"];
  const [plain, limited, denied] = engine.capabilities(
    context(),
    names.map((name) => target({ name })),
  );
  expect(plain?.grants.map(({ reason }) => reason)).toEqual(["good"]);
  expect(plain?.denials).toEqual([]);
  expect(plain?.faults).toHaveLength(2);
  expect(limited?.denials).toEqual([expect.stringContaining("maximun")]);
  expect(denied?.denials).toHaveLength(1);
  expect(denied?.faults).toEqual(expect.arrayContaining([...(denied?.denials ?? [])]));
});

test("a requirement holds only when it does; it is evaluated in the layer that names it", async () => {
  const platform = await layerOf(POLICY);
  const tenant = await layerOf(
    `grant contains {"reason": "x"} if input.target.name == "x"\nholds.fresh_login if input.principal.subject == "bob"`,
    { layer: "tenant" },
  );
  const engine = createEngine({ platform, tenant, log: silentLog });
  const { hold, describe } = engine.requirements(context(), target());
  const asked = [
    wanted("fresh_login"),
    wanted("fresh_login", "tenant"),
    wanted("nowhere"),
    wanted("account_not_blocked", "tenant"),
  ];
  expect(hold(asked, {})).toEqual([true, false, false, false]);
  expect(describe(wanted("fresh_login"), {})).toEqual({
    layer: "platform",
    name: "fresh_login",
    title: "a login in the last five minutes",
    stepUp: { max_age: 300 },
    missing: [],
  });
  expect(describe(wanted("account_not_blocked", "tenant"), {})).toBeUndefined();
});

test("a requirement does not hold when an argument that it reads is missing, unless that is optional", async () => {
  const engine = await engineOf(POLICY);
  const source = engine.requirements(context(), target());
  const ask = (name: string, args: Record<string, string>) => source.hold([wanted(name)], args)[0];
  expect(ask("account_not_blocked", { iban: "DE2" })).toBe(true);
  expect(ask("account_not_blocked", { iban: "DE1" })).toBe(false);
  expect(ask("account_not_blocked", {})).toBe(false);
  expect(ask("small_note", {})).toBe(true);
  expect(ask("small_note", { note: "too long" })).toBe(false);
  // Inherited, not sent.
  expect(ask("account_not_blocked", Object.create({ iban: "DE2" }))).toBe(false);
});

test("whoever leaves out an argument that a requirement reads is told which, and so is the record", async () => {
  const engine = await engineOf(POLICY);
  const source = engine.requirements(context(), target());
  const grant = { reason: "any", requires: ["account_not_blocked"] };
  const decide = (args: JsonObject) => open({ iban: {} }, { grants: [grant] }).decide(args, source);
  expect(decide({})).toMatchObject({
    code: "requirement_not_met",
    text: "This call needs an account that is not blocked, which cannot be told without /iban.",
    data: { requirement: { name: "account_not_blocked", missing: ["/iban"] } },
    reasons: ["account_not_blocked does not hold: /iban not sent"],
  });
  const blocked = decide({ iban: "DE1" });
  expect(blocked).toMatchObject({
    text: "This call needs an account that is not blocked.",
    reasons: ["account_not_blocked does not hold"],
  });
  expect(JSON.stringify(blocked)).not.toContain("missing");
});

test("a requirement does not hold when the claim it reads is absent", async () => {
  const engine = await engineOf(POLICY);
  const source = engine.requirements(context({ principal: principal({ auth_time: 0 }) }), target());
  expect(source.hold([wanted("fresh_login")], {})).toEqual([false]);
});

test("a target that cannot be evaluated denies itself and no other", async () => {
  const engine = await engineOf(`
allowed := "yes" if input.target.name == "refund"
allowed := "conflict" if "twice" in input.target.labels
grant contains {"reason": $"allowed {allowed}"}
deny contains "hidden" if object.get(input.target.announced, "title", "") == "secret"`);
  const targets = [
    target({ labels: [], announced: { title: "a" } }),
    target({ labels: ["twice"], announced: { title: "b" } }),
    target({ labels: [], announced: { title: "lone \ud800 surrogate" } }),
    target({ labels: [], announced: { title: "c" } }),
  ];
  const answers = engine.capabilities(context(), targets);
  expect(answers.map(({ denials, faults }) => [denials.length, faults.length])).toEqual([
    [0, 0],
    [1, 1],
    [1, 1],
    [0, 0],
  ]);
  expect(answers.map(({ grants }) => grants.length)).toEqual([1, 0, 0, 1]);
  expect(answers[1]?.faults[0]).toContain("conflict");
  expect(answers[2]?.faults[0]).toContain("surrogate");
});

test("a pattern of data that the engine cannot read closes what asks it, and nothing else", async () => {
  const engine = await engineOf(
    `grant contains {"reason": "all"} if input.target.kind == "tool"
deny contains "blocked" if { some pattern in object.get(input.tenant, "blocked_ibans", []); regex.match(pattern, input.target.name) }
deny contains "a lab" if { input.target.name == "lab"; not glob.match(data.open, [], input.server) }
holds.plain if not glob.match(input.arguments.glob, [], "secret")
holds.other if input.arguments.glob`,
    { data: { open: "[" } },
  );
  const asked = (blocked: string) =>
    engine.capabilities(context({ tenant: { id: "acme", refund_limit: 1, blocked_ibans: [blocked] } }), [
      target({ name: "refund" }),
      target({ name: "lab" }),
    ]);
  expect(asked("x.*").map(({ grants, denials }) => [grants.length, denials.length])).toEqual([
    [1, 0],
    [0, 1],
  ]);
  for (const { grants, denials, faults } of asked("(?<name>refund)")) {
    expect(grants).toEqual([]);
    expect(denials).toEqual(faults);
    expect(faults).toEqual([expect.stringContaining("policy: evaluation failed")]);
  }
  const source = engine.requirements(context(), target());
  expect(source.hold([wanted("plain")], { glob: "[" })).toEqual([false]);
  expect(source.hold([wanted("plain"), wanted("other")], { glob: "s3*" })).toEqual([true, true]);
});

test.each([
  ['not net.cidr_contains("10.0.0.0/8", input.arguments.x)', "8.8.8.8", "::ffff:10.1.2.3"],
  ['net.cidr_contains("10.0.0.0/8", input.arguments.x)', "10.1.0.0/16", "10.1.0.0/16/9"],
  ['not glob.match("**secret**", [], input.arguments.x)', "a/public", "a/secret\n"],
  ["not to_number(input.arguments.x) > 100", "+99", "+1000"],
  ["base64.is_valid(input.arguments.x)", "YWI=", "YWI"],
  ["json.is_valid(input.arguments.x)", "[1, 2]", "[1 2]"],
  ['indexof("abc", input.arguments.x) >= 0', "b", ""],
  ['concat(",", {x | some x in split(input.arguments.x, "")}) == "a,b"', "ba", "bc"],
])("%s holds of %j and not of %j, as OPA has it", async (condition, good, bad) => {
  const source = (await engineOf(`holds.it if ${condition}`)).requirements(context(), target());
  expect(source.hold([wanted("it")], { x: good })).toEqual([true]);
  expect(source.hold([wanted("it")], { x: bad })).toEqual([false]);
});

test("two tenants share no data and no instance, and their cache keys differ", async () => {
  const pool = createInstancePool(8);
  const rego = `grant contains {"reason": name} if some name in data.names`;
  const platform = await layerOf(`deny contains "no" if input.target.name == "never"`, { pool });
  const acme = await layerOf(rego, { layer: "tenant", pool, data: { names: ["acme's"] } });
  const globex = await layerOf(rego, { layer: "tenant", pool, data: { names: ["globex's"] } });
  const engines = [acme, globex].map((tenant) => createEngine({ platform, tenant, log: silentLog }));
  const reasons = () =>
    engines.map((engine) =>
      engine.capabilities(context(), [target()])[0]?.grants.map(({ reason }) => reason),
    );
  expect(reasons()).toEqual([["acme's"], ["globex's"]]);
  expect(reasons()).toEqual([["acme's"], ["globex's"]]);
  expect(pool.size).toBe(3);
  const [one, other] = engines.map((engine) => engine.contextKey(context()));
  expect(one).not.toBe(other);
});

test("tenants without policies of their own never share a cache key, though the rules read nothing of them", async () => {
  const engine = await engineOf(`grant contains {"reason": "all"} if input.target.name == "refund"`);
  expect(engine.contextKey(context())).not.toBe(engine.contextKey(context({ tenant: { id: "globex" } })));
});

test("the cache key tells apart what a capability can depend on, and nothing else", async () => {
  const plain = await engineOf(`grant contains {"reason": "x"} if "support" in input.principal.roles`);
  const key = plain.contextKey(context());
  expect(plain.readsClock).toBe(false);
  expect(plain.contextKey(context({ now: NOW + 1 }))).toBe(key);
  expect(plain.contextKey(context({ principal: principal({ subject: "bob" }) }))).toBe(key);
  expect(plain.contextKey(context({ principal: principal({ roles: [] }) }))).not.toBe(key);
  expect(plain.contextKey(context({ server: "other" }))).not.toBe(key);
  const timed = await engineOf(`grant contains {"reason": "x"} if time.weekday(time.now_ns()) == "Monday"`);
  expect(timed.readsClock).toBe(true);
  expect(timed.contextKey(context({ now: NOW + 1 }))).not.toBe(timed.contextKey(context()));
});

test("all evaluations of a decision share one reading of the clock, and it is the decision's", async () => {
  const rego = `grant contains {"reason": $"{time.now_ns()}"}\nholds.at if time.now_ns() == input.context.now * 1000000000`;
  const engine = createEngine({
    platform: await layerOf(rego),
    tenant: await layerOf(rego, { layer: "tenant" }),
    log: silentLog,
  });
  const [capability] = engine.capabilities(context(), [target()]);
  expect(capability?.grants.map(({ reason }) => reason)).toEqual([`${NOW}000000000`, `${NOW}000000000`]);
  const held = engine.requirements(context(), target()).hold([wanted("at"), wanted("at", "tenant")], {});
  expect(held).toEqual([true, true]);
});

test("a policy sees of a target what policy may see, even when it takes it whole", async () => {
  const engine = await engineOf(`grant contains {"reason": json.marshal(object.keys(input.target))}`);
  const pinned = { ...target(), exposedName: "crm__refund", inputSchema: {}, digest: "d" };
  const [capability] = engine.capabilities(context(), [pinned]);
  const seen = JSON.parse(capability?.grants[0]?.reason ?? "[]") as string[];
  expect(seen.sort()).toEqual(["announced", "kind", "labels", "name", "upstream"]);
});

test("what a layer says of a target without measure closes that target", async () => {
  const engine = await engineOf(
    'grant contains {"reason": "many", "arguments": {"a": {"enum": data.many}}} if input.target.name == "many"\n' +
      'grant contains {"reason": "few", "arguments": {"a": {"enum": array.slice(data.many, 0, 9)}}}',
    { data: { many: Array.from({ length: 25_000 }, (_, at) => `a value of some length, number ${at}`) } },
  );
  const [many, few] = engine.capabilities(context(), [target({ name: "many" }), target({ name: "few" })]);
  expect(many?.grants).toEqual([]);
  expect(many?.denials[0]).toBe(
    "policy: the grants, limits and denials of one target take over 1048576 bytes",
  );
  expect(few).toMatchObject({ grants: [{ reason: "few" }], denials: [] });
});
