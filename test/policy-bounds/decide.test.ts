import { expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import type { RequirementSource, Wanted } from "../../src/policy/requirements.ts";
import { bounding, nothingRequired, open, outcome } from "./open.ts";

const money = { amount: { type: "number" }, currency: { type: "string" } };

test("an allowed call is forwarded as it was sent, under the grant that was chosen", () => {
  const capability = open(money, { grants: [bounding({ amount: { maximum: 5 } })] });
  const decision = capability.decide({ amount: 1, currency: "EUR" }, nothingRequired);
  expect(decision).toMatchObject({ effect: "allow", grant: { reason: "test", rank: 100 }, requirements: {} });
  expect(decision).toHaveProperty("arguments", { amount: 1, currency: "EUR" });
});

test("every call is first checked against the pinned schema, then against bounds, then against requirements", () => {
  const capability = open(
    money,
    { grants: [bounding({ amount: { maximum: 5 } }, { requires: ["fresh_login"] })] },
    { required: ["currency"] },
  );
  const source: RequirementSource = { hold: () => [false], describe: () => undefined };
  const code = (args: JsonObject) => {
    const decision = capability.decide(args, source);
    return decision.effect === "deny" && decision.code;
  };
  expect(code({ amount: "9999" })).toBe("arguments_invalid");
  expect(code({ amount: 9 })).toBe("arguments_invalid");
  expect(code({ amount: 9, currency: "EUR" })).toBe("argument_out_of_bounds");
  expect(code({ amount: 1, currency: "EUR" })).toBe("requirement_not_met");
});

test("a refusal by the schema tells the JSON Pointer, the keyword and what would fit", () => {
  const capability = open(
    { ...money, tags: { items: { enum: ["a", "b"] } } },
    { grants: [{ reason: "any" }] },
    { required: ["amount"], additionalProperties: false },
  );
  const told = (args: JsonObject) => {
    const decision = capability.decide(args, nothingRequired);
    return decision.effect === "deny" && [decision.text, decision.data];
  };
  expect(told({ amount: "1" })).toEqual([
    "/amount must be number (schema).",
    { pointer: "/amount", keyword: "type" },
  ]);
  expect(told({})).toEqual([
    "/amount must be present (schema).",
    { pointer: "/amount", keyword: "required" },
  ]);
  expect(told({ amount: 1, "a/b~": 1 })).toEqual([
    "/a~1b~0 is not an argument here (schema).",
    { pointer: "/a~1b~0", keyword: "additionalProperties" },
  ]);
  expect(told({ amount: 1, tags: ["c"] })).toEqual([
    '/tags/0 must be one of "a", "b" (schema).',
    { pointer: "/tags/0", keyword: "enum" },
  ]);
});

test("a refusal by bounds names the argument and the bound of the grant that comes closest", () => {
  const capability = open(money, {
    grants: [
      bounding({ amount: { maximum: 500 }, currency: { const: "EUR" } }, { rank: 20 }),
      bounding({ amount: { maximum: 100 }, currency: { const: "USD" } }, { rank: 10 }),
    ],
  });
  expect(capability.decide({ amount: 900, currency: "EUR" }, nothingRequired)).toMatchObject({
    code: "argument_out_of_bounds",
    text: "/amount must be at most 500 (policy).",
    data: { pointer: "/amount", bound: { maximum: 500 } },
    grant: { rank: 20 },
  });
  expect(capability.decide({ amount: 200, currency: "USD" }, nothingRequired)).toMatchObject({
    text: "/amount must be at most 100 (policy).",
  });
});

test("of two grants that come as close, a refusal names the bound that leaves more room", () => {
  const capability = open(money, {
    grants: [
      bounding({ amount: { minimum: 10, maximum: 200 } }, { rank: 10 }),
      bounding({ amount: { minimum: 5, maximum: 1000 } }, { rank: 20 }),
    ],
  });
  const told = (amount: number) => {
    const decision = capability.decide({ amount }, nothingRequired);
    return decision.effect === "deny" && decision.data;
  };
  expect(told(1001)).toEqual({ pointer: "/amount", bound: { maximum: 1000 } });
  expect(told(1)).toEqual({ pointer: "/amount", bound: { minimum: 5 } });
});

test.each<[string, JsonObject, readonly [JsonObject, JsonObject], JsonObject]>([
  [
    "an open limit above a closed one",
    { amount: 900 },
    [{ amount: { maximum: 200 } }, { amount: { exclusiveMaximum: 500 } }],
    { exclusiveMaximum: 500 },
  ],
  [
    "of two limits at one number, the closed one",
    { amount: 900 },
    [{ amount: { exclusiveMaximum: 200 } }, { amount: { maximum: 200 } }],
    { maximum: 200 },
  ],
  [
    "an open limit below a closed one",
    { amount: 1 },
    [{ amount: { minimum: 10 } }, { amount: { exclusiveMinimum: 5 } }],
    { exclusiveMinimum: 5 },
  ],
  [
    "several values rather than one",
    { currency: "GBP" },
    [{ currency: { const: "EUR" } }, { currency: { enum: ["EUR", "USD"] } }],
    { enum: ["EUR", "USD"] },
  ],
  [
    "the shorter of two lengths that are asked for",
    { currency: "" },
    [{ currency: { minLength: 3 } }, { currency: { minLength: 1 } }],
    { minLength: 1 },
  ],
])("a refusal names %s, whichever grant stands first", (_, args, [narrow, wide], bound) => {
  for (const [first, second] of [
    [narrow, wide],
    [wide, narrow],
  ] as const) {
    const grants = [bounding(first, { rank: 10 }), bounding(second, { rank: 20 })];
    expect(open(money, { grants }).decide(args, nothingRequired)).toMatchObject({ data: { bound } });
  }
});

test("grants that miss by the same arguments are compared by these, in whatever order each names them", () => {
  const narrow = bounding({ amount: { maximum: 200 }, currency: { const: "EUR" } }, { rank: 10 });
  const wide = bounding({ currency: { const: "EUR" }, amount: { maximum: 500 } }, { rank: 20 });
  const capability = open(money, { grants: [narrow, wide] });
  expect(capability.decide({ amount: 900, currency: "GBP" }, nothingRequired)).toMatchObject({
    code: "argument_out_of_bounds",
    grant: { rank: 20 },
  });
});

test("the chosen grant is the one of lowest rank whose bounds the arguments meet", () => {
  const grants = [
    bounding(
      { amount: { maximum: 500 } },
      { reason: "lead", rank: 20, credential: { source: "crm", role: "lead" } },
    ),
    bounding(
      { amount: { maximum: 100 } },
      { reason: "agent", rank: 10, credential: { source: "crm", role: "agent" } },
    ),
  ];
  const capability = open(money, { grants });
  expect(capability.decide({ amount: 50 }, nothingRequired)).toHaveProperty("grant.reason", "agent");
  expect(capability.decide({ amount: 200 }, nothingRequired)).toHaveProperty("grant.reason", "lead");
});

test("a caller cannot choose a stronger credential by adding an argument: grants of one rank that differ refuse", () => {
  const world = (a: JsonObject, b: JsonObject) =>
    open(money, { grants: [bounding({ amount: {} }, a), bounding({ currency: {} }, b)] });
  const both = { amount: 1, currency: "EUR" };
  const plain = { reason: "plain" };
  for (const more of [
    { credential: { source: "crm" } },
    { requires: ["x"] },
    { interaction: ["elicitation"] },
  ]) {
    const capability = world(plain, { reason: "more", ...more });
    expect(outcome(capability, both)).toBe("ambiguous_grant");
    expect(outcome(capability, { amount: 1 }), "one alone is not ambiguous").toBe("allow");
  }
  expect(
    outcome(world({ credential: { source: "crm" } }, { credential: { source: "crm" }, reason: "b" }), both),
  ).toBe("allow");
  expect(
    outcome(world({ interaction: ["roots", "sampling"] }, { interaction: ["sampling", "roots"] }), both),
  ).toBe("allow");
});

test.each<[string, JsonObject, JsonObject]>([
  ["what they require", { requires: ["x"] }, { requires: ["x", "y"] }],
  [
    "the role of a credential",
    { credential: { source: "crm" } },
    { credential: { source: "crm", role: "lead" } },
  ],
])("grants of one rank that differ in %s alone refuse what both admit", (_, a, b) => {
  const capability = open(money, { grants: [bounding({ amount: {} }, a), bounding({ currency: {} }, b)] });
  expect(outcome(capability, { amount: 1, currency: "EUR" })).toBe("ambiguous_grant");
});

test.each<[string, JsonObject]>([
  ["requirement", { requires: ["x"] }],
  ["credential", { credential: { source: "crm" } }],
])(
  "a %s of one name is another in another layer: grants of both layers that name it are ambiguous",
  (_, more) => {
    const capability = open(money, {
      grants: [bounding({ amount: {} }, more)],
      tenantGrants: [bounding({ currency: {} }, more)],
    });
    expect(outcome(capability, { amount: 1, currency: "EUR" })).toBe("ambiguous_grant");
  },
);

test("grants of one rank that would inject different arguments are ambiguous too", () => {
  const capability = open({ r: {} }, { grants: [bounding({ r: { set: 1 } }), bounding({ r: { set: 2 } })] });
  expect(outcome(capability, {})).toBe("ambiguous_grant");
});

test("equal grants: which one is chosen does not hang on the order in which policy named them", () => {
  const grants = [{ reason: "a" }, { reason: "b" }, { reason: "c" }];
  const reason = (order: JsonObject[]) => open(money, { grants: order }).decide({}, nothingRequired);
  expect(reason([...grants].reverse())).toEqual(reason(grants));
});

test("a grant whose requirement fails is not passed over for another: bounds and rank alone choose", () => {
  const capability = open(money, {
    grants: [
      { reason: "a", rank: 1, requires: ["x"] },
      { reason: "b", rank: 2 },
    ],
  });
  const decision = capability.decide({}, { hold: () => [false], describe: () => undefined });
  expect(decision).toMatchObject({ code: "requirement_not_met", grant: { reason: "a" } });
});

test("what is hidden can never be called: a denial closes the target, and its reason goes to the record only", () => {
  const capability = open(money, {
    grants: [{ reason: "any" }],
    denials: ["contractors do not handle money"],
  });
  expect(capability.listed).toBe(false);
  const decision = capability.decide({ amount: 1 }, nothingRequired);
  expect(decision).toMatchObject({
    code: "not_found",
    reasons: ["contractors do not handle money"],
    grant: null,
  });
  expect(decision).not.toHaveProperty("text");
  expect(decision).not.toHaveProperty("data");
  expect(JSON.stringify(capability.listing())).not.toContain("amount");
});

test("without a grant, or without one that can be met, the target is not found", () => {
  expect(outcome(open(money, {}), {})).toBe("not_found");
  const unmet = [
    { enum: [] },
    { minimum: 5, maximum: 4 },
    { exclusiveMinimum: 1, maximum: 1 },
    { minLength: 2, maxLength: 1 },
    { minItems: 2, maxItems: 1 },
    { maximum: 5, minLength: 1 },
    { enum: ["a"], pattern: "b" },
    { enum: ["a"], const: "b" },
    { items: { enum: [] }, minItems: 1 },
  ];
  for (const bound of unmet) {
    const capability = open({ x: {} }, { grants: [bounding({ x: bound })] });
    expect(capability.listed, JSON.stringify(bound)).toBe(false);
    expect(outcome(capability, { x: 5 })).toBe("not_found");
    expect(capability.warnings).toEqual(['grant "test" is unusable: no arguments can meet it']);
  }
});

test("a grant that the pinned schema leaves nothing of is not met either", () => {
  const listed = (schema: JsonObject, bound: JsonObject, more: JsonObject = {}) =>
    open({ x: schema, y: {} }, { grants: [bounding({ x: bound })] }, more).listed;
  expect(listed({ enum: ["EUR"] }, { const: "USD" })).toBe(false);
  expect(listed({ type: "string" }, { maximum: 5 })).toBe(false);
  expect(listed({ minimum: 10 }, { maximum: 5 })).toBe(false);
  expect(listed({ $ref: "#/$defs/c" }, { const: "USD" }, { $defs: { c: { enum: ["EUR"] } } })).toBe(false);
  expect(listed({}, { forbidden: true }, { required: ["x"] })).toBe(false);
  const optional = { anyOf: [{ type: "string" }, { type: "null" }] };
  expect(listed(optional, { maximum: 5 })).toBe(false);
  expect(listed(optional, { set: 1 })).toBe(false);
  expect(listed(optional, { set: null })).toBe(true);
  expect(listed({ oneOf: [{ const: 1 }, { enum: [2] }] }, { const: 3 })).toBe(false);
  expect(listed({ allOf: [{ type: "string" }, { minLength: 2 }] }, { maximum: 5 })).toBe(false);
  const itself = { $defs: { a: { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] } } };
  expect(listed({ $ref: "#/$defs/a" }, { const: 1 }, itself), "as far as can be told").toBe(true);
  expect(listed({ type: "string" }, { maximum: 5, optional: true }), "it need not be sent").toBe(true);
});

const login: RequirementSource = {
  hold: (wanted) => wanted.map(({ name }) => name === "ok"),
  describe: ({ layer, name }) =>
    name === "fresh_login"
      ? {
          layer,
          name,
          title: "a login in the last five minutes",
          stepUp: { max_age: 300, scope: "mcp:refund" },
          missing: [],
        }
      : undefined,
};

test("requirements of the chosen grant and of all limits must hold, and the caller is told which does not", () => {
  const capability = open(money, {
    grants: [{ reason: "any", requires: ["ok", "fresh_login"] }],
    limits: [{ requires: ["ok", "unknown"] }],
  });
  expect(capability.decide({}, login)).toMatchObject({
    code: "requirement_not_met",
    text: "This call needs a login in the last five minutes and unknown.",
    data: {
      requirement: {
        name: "fresh_login",
        title: "a login in the last five minutes",
        step_up: { max_age: 300, scope: "mcp:refund" },
      },
      requirements: [{ name: "fresh_login" }, { name: "unknown", title: "unknown", step_up: null }],
    },
    requirements: { ok: true, fresh_login: false, unknown: false },
  });
});

test("a requirement that two layers name is two requirements, and the record keeps them apart", () => {
  const asked: Wanted[][] = [];
  const capability = open(money, {
    tenantGrants: [{ reason: "any", requires: ["x", "y"] }],
    limits: [{ requires: ["x"] }],
  });
  const decision = capability.decide(
    {},
    {
      hold(wanted) {
        asked.push([...wanted]);
        return wanted.map(() => true);
      },
      describe: () => undefined,
    },
  );
  expect(decision).toMatchObject({
    effect: "allow",
    requirements: { "tenant/x": true, "platform/x": true, y: true },
  });
  expect(asked.flat().map(({ layer, name }) => `${layer} ${name}`)).toEqual([
    "tenant x",
    "platform x",
    "tenant y",
  ]);
});

test("requirements see the arguments that would be forwarded, the injected ones too", () => {
  const capability = open(
    { r: {}, a: {} },
    { grants: [bounding({ r: { set: "eu" } }, { requires: ["x"] })] },
  );
  const seen: JsonObject[] = [];
  capability.decide({ a: 1 }, { hold: (_, args) => [seen.push(args) > 0], describe: () => undefined });
  expect(seen).toEqual([{ a: 1, r: "eu" }]);
});

test("a condition that cannot be established does not hold: missing, odd or thrown means deny", () => {
  const capability = open(money, { grants: [{ reason: "any", requires: ["x"] }] });
  const code = (hold: () => unknown) => {
    const decision = capability.decide(
      {},
      { hold: hold as () => readonly boolean[], describe: () => undefined },
    );
    return decision.effect === "deny" && decision.code;
  };
  expect(code(() => [])).toBe("requirement_not_met");
  expect(code(() => ["true"])).toBe("requirement_not_met");
  const odd = capability.decide({}, { hold: () => ["true"] as never, describe: () => undefined });
  expect(odd).toMatchObject({ requirements: { x: false }, reasons: ["x does not hold"] });
  expect(code(() => undefined)).toBe("policy_failed");
  expect(
    code(() => {
      throw new Error("boom");
    }),
  ).toBe("policy_failed");
});

test("a dropped grant or limit is named in the record of every decision, allowed or not", () => {
  const [any, strict] = [{ reason: "any" }, bounding({ amount: { maximum: 5 } })];
  for (const [said, args] of [
    [any, {}],
    [strict, { amount: 9 }],
  ] as const) {
    const decision = open(money, {
      grants: [said],
      faults: ["grant.colour is not known to this version"],
    }).decide(args, nothingRequired);
    expect(decision.reasons.at(-1)).toBe("grant.colour is not known to this version");
  }
});

test("a refusal says no more of a long name than tells which it is", () => {
  const capability = open(money, { grants: [bounding({ amount: { optional: true } })] });
  const decision = capability.decide({ ["z".repeat(100_000)]: 1 }, nothingRequired);
  expect(decision).toMatchObject({ code: "argument_out_of_bounds" });
  expect(decision.effect === "deny" && decision.text?.length).toBeLessThan(300);
});

test("an argument is completed only where a grant lets the caller send it, with those that are given already", () => {
  const mail = { to: { type: "string" }, cc: { type: "string" }, from: { type: "string" } };
  const outcomeOf = (more: JsonObject, given: JsonObject, next: string) => {
    const decision = open(mail, { grants: [bounding(more)] }).decideBegun(given, next, nothingRequired);
    return decision.effect === "allow" ? decision.arguments : decision.code;
  };
  const OUT = "argument_out_of_bounds";
  const hidden = { cc: { forbidden: true }, to: { maxLength: 3 } };
  expect(outcomeOf(hidden, { from: "me" }, "to"), "what is not there yet is not missed").toEqual({
    from: "me",
  });
  expect(outcomeOf(hidden, {}, "cc")).toBe(OUT);
  expect(outcomeOf(hidden, { cc: "" }, "to")).toBe(OUT);
  expect(outcomeOf(hidden, { to: "abcd" }, "from")).toBe(OUT);
  expect(outcomeOf(hidden, {}, "bcc"), "undeclared").toBe(OUT);
  expect(outcomeOf(hidden, { bcc: "x" }, "to")).toBe(OUT);
  const setting = { from: { set: "me" } };
  expect(outcomeOf(setting, { cc: "x" }, "to"), "injected").toEqual({ cc: "x", from: "me" });
  expect(outcomeOf(setting, {}, "from")).toBe(OUT);
  expect(outcomeOf(setting, { from: "me" }, "to")).toBe(OUT);
});
