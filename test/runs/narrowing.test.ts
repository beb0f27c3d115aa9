import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Principal, Target } from "../../src/domain.ts";
import { createCapabilities } from "../../src/gate/capabilities.ts";
import { NO_RUNS, narrowCapabilities, narrowCredentials } from "../../src/gate/narrowing.ts";
import { createSchemas } from "../../src/gate/schemas.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { PolicyEngine } from "../../src/policy/engine.ts";
import { isChosen, type Run, type TargetChoice } from "../../src/runs/run.ts";
import { context, engineOf, principal, target, toolchain } from "../policy-engine/world.ts";
import { aReplica, own } from "./world.ts";

afterAll(() => toolchain.close());

const DIGESTS = new Map<string, string>();

function aTarget(upstream: string, name: string, kind: Target["kind"] = "tool"): Target {
  const key = `${upstream} ${kind} ${name}`;
  DIGESTS.set(key, DIGESTS.get(key) ?? `digest ${DIGESTS.size}`);
  return {
    ...target({ upstream, name, kind, labels: [] }),
    exposedName: `${upstream}__${name}`,
    definition: new Map(),
    inputSchema: { type: "object" },
    digest: DIGESTS.get(key) ?? "",
  };
}

const REFUND = aTarget("crm", "refund");
const LOOKUP = aTarget("crm", "lookup");
const READ = aTarget("files", "read");
const PROMPT = aTarget("crm", "refund", "prompt");
const ALL = [REFUND, LOOKUP, READ, PROMPT];

describe("a choice of targets", () => {
  const run = (targets: Run["targets"]): Run => ({
    ...{ id: "r", principal: principal(), description: "", created: 0, expires: 0, accounts: null },
    servers: ["support", "files"],
    targets,
  });
  const CHOICES: readonly (readonly [string, readonly TargetChoice[] | null, readonly Target[]])[] = [
    ["none: all", null, ALL],
    ["empty: nothing", [], []],
    ["a name on the virtual server", [{ name: "crm__refund" }], [REFUND, PROMPT]],
    ["a name on the virtual server and a kind", [{ name: "crm__refund", kind: "tool" }], [REFUND]],
    ["a target's own name without its upstream: nothing", [{ name: "refund" }], []],
    ["an upstream and its own name", [{ upstream: "crm", name: "refund", kind: "tool" }], [REFUND]],
    ["an upstream and another's name: nothing", [{ upstream: "files", name: "refund" }], []],
    ["an upstream and an exposed name: nothing", [{ upstream: "crm", name: "crm__refund" }], []],
    ["an upstream", [{ upstream: "crm" }], [REFUND, LOOKUP, PROMPT]],
    ["a kind", [{ kind: "prompt" }], [PROMPT]],
    ["a virtual server", [{ server: "support" }], ALL],
    ["another virtual server", [{ server: "files" }], []],
    ["several", [{ server: "files" }, { name: "files__read" }, { kind: "prompt" }], [READ, PROMPT]],
  ];
  test.each(CHOICES)("%s", (_, targets, chosen) => {
    expect(ALL.filter((one) => isChosen(run(targets), one, "support"))).toEqual(chosen);
  });

  test("nothing is chosen on a server that the run is not for", () => {
    expect(ALL.filter((one) => isChosen(run(null), one, "secret"))).toEqual([]);
  });

  test("a kind that no upstream lists is chosen as any other", () => {
    const log = { ...aTarget("crm", "", "server"), exposedName: "" };
    const asked = [[{ name: "crm__refund" }], [{ upstream: "crm" }], [{ kind: "server" as const }]];
    expect(asked.map((targets) => isChosen(run(targets), log, "support"))).toEqual([false, true, true]);
  });
});

describe("what the gate makes of it, with real policies", () => {
  let policy: PolicyEngine;
  beforeAll(async () => {
    policy = await engineOf(`
grant contains {"reason": "anyone"}
deny contains "not for anyone" if input.target.name == "lookup"
`);
  });

  const gateOf = (reaches: (who: Principal, one: Target, server: string) => boolean) =>
    narrowCapabilities(createCapabilities(createSchemas(), 100), { reaches });
  const asRun = (id: string) => context({ principal: principal({ run: { id, expires: 2e9 } }) });
  const noRequirements = { hold: () => [], describe: () => undefined };

  test("a target that was not given has no grant: not listed, and as unknown as none when it is called", () => {
    const gate = gateOf((_, { name }) => name === "refund");
    const [refund, lookup, read] = gate.of(policy, asRun("a"), [REFUND, LOOKUP, READ]);
    expect([refund, lookup, read].map((one) => one?.listed)).toEqual([true, false, false]);
    expect(read?.decide({}, noRequirements)).toMatchObject({
      effect: "deny",
      code: "not_found",
      reasons: ["the run was not given this target"],
    });
    expect(read?.admits({}) || read?.begins({})).toBe(false);
    expect(refund?.decide({}, noRequirements).effect).toBe("allow");
  });

  test("a run is given nothing that policy denies, and a denial stays a denial", () => {
    const all = gateOf(() => true).of(policy, asRun("a"), ALL);
    const none = gateOf(() => false).of(policy, asRun("a"), ALL);
    expect(all.map(({ listed }) => listed)).toEqual([true, false, true, true]);
    expect(none.map(({ listed }) => listed)).toEqual([false, false, false, false]);
    expect(none.map(({ denied }) => denied)).toEqual([false, true, false, false]);
  });

  test("two runs of one user, and the user, share no narrowed capability, whoever comes first", () => {
    const gate = gateOf(({ run }, { name }) => (run?.id === "a" ? name === "refund" : name === "read"));
    const listed = (asking: ReturnType<typeof context>) =>
      gate.of(policy, asking, [REFUND, READ]).map((one) => one.listed);
    for (let round = 0; round < 3; round++) {
      expect(listed(asRun("a"))).toEqual([true, false]);
      expect(listed(asRun("b"))).toEqual([false, true]);
      expect(listed(context())).toEqual([true, true]);
    }
  });

  test("policy that reads the run can close more, and open nothing", async () => {
    const closing = await engineOf(`
grant contains {"reason": "runs too"}
deny contains "no run refunds" if {
	input.principal.run != null
	input.target.name == "refund"
}
`);
    const open = gateOf((_, { name }) => name !== "read").of(closing, asRun("a"), [REFUND, READ, PROMPT]);
    expect(open.map(({ listed }) => listed)).toEqual([false, false, false]);
  });
});

test("where there are no runs, whoever comes as one was given nothing", () => {
  const given = (who: Principal) => [NO_RUNS.reaches(who, REFUND, "support"), NO_RUNS.mayHave(who, "crm")];
  expect(given(principal())).toEqual([true, true]);
  expect(given(principal({ run: { id: "a", expires: 2e9 } }))).toEqual([false, false]);
});

test("a credential that a run was not given is refused before it is minted", async () => {
  const gate = await aReplica();
  const { token } = await gate.begin(await own(gate.issuer), { accounts: ["crm"] });
  const free = await gate.begin(await own(gate.issuer));
  const none = await gate.begin(await own(gate.issuer), { accounts: [] });
  const minted: string[] = [];
  const credentials = narrowCredentials(
    {
      async obtain(choice) {
        minted.push(choice?.source ?? "none");
        return { expires: 0, headers: new Map(), sha256: null, revoke: async () => {} };
      },
    },
    gate.runs,
    { check() {} },
  );
  const decision = {
    decisionId: "",
    upstream: "crm",
    server: "support",
    revision: { platform: "", tenant: "" },
  };
  const asked = async (bearer: string, source: string | null) => {
    const { principal: who } = await gate.who(bearer);
    return credentials.obtain(source === null ? null : { source }, who, decision).then(
      () => "minted",
      (error: unknown) => (error instanceof PortcullisError ? error.code : String(error)),
    );
  };
  expect([await asked(token, "crm"), await asked(token, "files"), await asked(token, null)]).toEqual([
    "minted",
    "credential_refused",
    "minted",
  ]);
  expect([await asked(free.token, "files"), await asked(none.token, "crm")]).toEqual([
    "minted",
    "credential_refused",
  ]);
  expect(minted).toEqual(["crm", "none", "files"]);
});

test("a run that was given a connected account has the sources that take their tokens from it, and no others", async () => {
  const gate = await aReplica({ accounts: { issues: "github", pulls: "github", boards: "trello" } });
  const { token } = await gate.begin(await own(gate.issuer), { accounts: ["github", "crm"] });
  const { principal } = await gate.who(token);
  const sources = ["issues", "pulls", "boards", "crm", "files", ""];
  expect(sources.filter((source) => gate.runs.mayHave(principal, source))).toEqual([
    "issues",
    "pulls",
    "crm",
  ]);
});
