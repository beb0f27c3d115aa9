import { expect, test } from "vitest";
import { check } from "../../src/commands/check.ts";
import { CONFIG, company, OWN, POLICY } from "./company.ts";
import { ROOT, surroundings } from "./world.ts";

async function checked(files: Readonly<Record<string, string>> = {}, json = false) {
  const { around, printed } = surroundings(company(files));
  const code = await check({ config: "portcullis.yaml", json }, around);
  expect(printed.err).toBe("");
  return { code, out: printed.out };
}

test("the example company passes, and the last line counts what was checked", async () => {
  const { around, printed } = surroundings(ROOT);
  const code = await check({ config: "examples/acme-and-globex/portcullis.yaml" }, around);
  expect(printed.out).toBe("ok: 3 layers, 32 rules, 3 requirements, 2 tenants, 57 pinned targets\n");
  expect(code).toBe(0);
});

const OK = "ok: 2 layers, 2 rules, 0 requirements, 1 tenant, 1 pinned target\n";

test("a sound company passes", async () => {
  expect(await checked()).toEqual({ code: 0, out: OK });
});

const config = (from: string, to: string) => ({ "portcullis.yaml": CONFIG.replace(from, to) });
const policy = (from: string, to: string) => ({ "policies/authz.rego": POLICY.replace(from, to) });
const own = (credential: string) => ({
  "acme/authz.rego": `${OWN}
grant contains {"reason": "acme", "credential": ${credential}} if input.target.upstream == "crm"
`,
});

test.each<[string, Record<string, string>, string]>([
  [
    "a misspelt key",
    config("policies:", "polices:"),
    `portcullis.yaml:1:1: missing_key: "policies" is missing
portcullis.yaml:12:1: unknown_key: unknown key "polices"
    did you mean "policies"?
2 errors
`,
  ],
  [
    "an upstream that does not exist",
    config("upstreams: [crm]}\ncred", "upstreams: [crn]}\ncred"),
    `portcullis.yaml:8:25: unknown_reference: there is no upstream "crn"
    did you mean "crm"?
1 error
`,
  ],
  [
    "Rego that does not parse",
    policy("grant contains {", "grant contains }"),
    `policies/authz.rego:3:16: rego_parse_error: unexpected } token
    it closes nothing, or what should stand before it is missing
1 error
`,
  ],
  [
    "a field that the input does not have",
    policy("input.principal.roles", "input.principal.role"),
    `policies/authz.rego:10:15: input_unknown: input.principal.role: the input has no such field
    did you mean roles?
1 error
`,
  ],
  [
    "a folder without policies",
    config("path: ./policies", "path: ./tests"),
    `tests: policies_unreadable: no such file or directory
1 error
`,
  ],
  [
    "a credential source that does not exist",
    policy('"source": "crm"', '"source": "crn"'),
    `policies/authz.rego:3:1: credential_unknown: there is no credential source "crn"
    did you mean "crm"?
1 error
`,
  ],
  [
    "a source that may not be sent to the grant's upstream",
    policy('{"source": "crm", "role": "reader"}', '{"source": "box"}'),
    `policies/authz.rego:3:1: credential_misdirected: credential source "box" may not be sent to "crm"
    add it under credentials.box.upstreams
1 error
`,
  ],
  [
    "an upstream in a grant that configuration does not have",
    policy('input.target.upstream == "crm"', 'input.target.upstream == "crmm"'),
    `policies/authz.rego:3:1: upstream_unknown: there is no upstream "crmm"
    did you mean "crm"?
1 error
`,
  ],
  [
    "a role that the source does not have",
    policy('"role": "reader"', '"role": "raeder"'),
    `policies/authz.rego:3:1: credential_role_unknown: credential source "crm" has no role "raeder"
    did you mean "reader"?
1 error
`,
  ],
  [
    "a tenant's grant with a source that the tenant is not given",
    {
      ...own('{"source": "crm"}'),
      ...config("credentials: {crm: {roles: [reader]}}", "credentials: {}"),
    },
    `acme/authz.rego:5:1: credential_not_given: tenant "acme" is not given credential source "crm"
    add it under tenants.acme.credentials
policies/authz.rego:3:1: credential_not_given: no tenant is given credential source "crm"
    add it under tenants.ID.credentials
2 errors
`,
  ],
  [
    "a grant of the platform's with a role that nobody is given",
    policy('"role": "reader"', '"role": "refunder"'),
    `policies/authz.rego:3:1: credential_role_not_given: no tenant is given role "refunder" of "crm"
    add it under tenants.ID.credentials.crm.roles
1 error
`,
  ],
  [
    "a tenant's grant with a role that the tenant is not given",
    own('{"source": "crm", "role": "refunder"}'),
    `acme/authz.rego:5:1: credential_role_not_given: tenant "acme" is not given role "refunder" of "crm"
    add it under tenants.acme.credentials.crm.roles
1 error
`,
  ],
])("%s is told at its place, with what to do", async (_, files, out) => {
  expect(await checked(files)).toEqual({ code: 1, out });
});

test.each([
  ["{most: lots}", "25: record_invalid: most must be number", ""],
  ["{msot: 3}", "19: record_invalid: the tenant schema has no msot", '    did you mean "most"?\n'],
  ["{deep: {n: x}}", "29: record_invalid: deep.n must be integer", ""],
])(
  "a tenant's record is told in the schema's words, by the name that is wrong: %s",
  async (record, told, hint) => {
    const schema = {
      properties: { most: { type: "number" }, deep: { properties: { n: { type: "integer" } } } },
      additionalProperties: false,
    };
    const configured = CONFIG.replace("./policies}", "./policies, tenant_schema: ./schema.json}");
    const files = {
      "portcullis.yaml": configured.replace("record: {}", `record: ${record}`),
      "schema.json": JSON.stringify(schema),
    };
    const { code, out } = await checked(files);
    expect({ code, out }).toEqual({ code: 1, out: `portcullis.yaml:14:${told}\n${hint}1 error\n` });
  },
);

test("a bound on an argument that the pinned definition does not declare is a warning", async () => {
  expect(await checked(policy('"amount"', '"amuont"'))).toEqual({
    code: 0,
    out: `policies/authz.rego:3:1: warning: argument_undeclared: crm: refund has no argument "amuont", so this grant is unusable there
    did you mean "amount"?
${OK.replace("\n", ", 1 warning\n")}`,
  });
});

test("a grant that no arguments meet under the limits is a warning, unless somebody's do", async () => {
  const told = (more: string, where = "") =>
    `policies/authz.rego:3:1: warning: bound_unmeetable: crm: no arguments of refund meet this grant${more}, so it opens nothing there
    to hide a target from somebody: deny contains "the reason" if {…}${where}`;
  const limit = (bound: string, condition = "") =>
    `\nlimit contains {"arguments": {"amount": ${bound}}} if {\n\tinput.target.name == "refund"${condition}\n}\n`;
  const own = await checked({ "acme/authz.rego": OWN + limit('{"minimum": 500}') });
  expect(own).toMatchObject({ code: 0, out: expect.stringContaining(told(" under a limit of acme")) });
  const both = limit('{"minimum": 50}', '\n\t"support" in input.principal.roles') + limit('{"maximum": 40}');
  expect((await checked({ "acme/authz.rego": OWN + both })).out).toContain(
    told(" under the limits together"),
  );
  // Of another type than the target's own schema says.
  const text = policy('{"maximum": 100}', '{"const": "ten"}');
  expect((await checked(text)).out).toContain(told(""));
  // Where the bound itself contradicts, that is told, and once.
  const { out } = await checked(policy('{"maximum": 100}', '{"maximum": 100, "minimum": 500}'));
  expect(out.match(/bound_unmeetable.*/g)).toEqual([expect.stringContaining("minimum 500 and maximum 100")]);
  const some = limit('{"minimum": 500}', '\n\tnot "support" in input.principal.roles');
  for (const more of [some, limit('{"minimum": 5}')])
    expect((await checked({ "acme/authz.rego": OWN + more })).out).not.toContain("unmeetable");
});

test("a requirement that reads an argument which the pinned definition does not declare is a warning, where it is asked", async () => {
  const rule = (more: string) => `package authz

# METADATA
# title: an open account
# custom:
#   optional: [${more}]
holds.open if {
	not input.arguments.amuont == 3
	input.principal.subject != "mallory"
}
`;
  const limit = '\nlimit contains {"requires": ["open"]} if input.target.name == "refund"\n';
  const out = `policies/more.rego:7:1: warning: argument_undeclared: crm: refund has no argument "amuont", which holds.open reads
    did you mean "amount"?
ok: `;
  expect((await checked({ "policies/more.rego": rule("") + limit })).out).toContain(out);
  expect((await checked({ "policies/more.rego": rule("amuont") + limit })).out).not.toContain("undeclared");
  expect((await checked({ "policies/more.rego": rule("") })).out).not.toContain("undeclared");
  const known = { "policies/more.rego": rule("").replace("amuont", "note") + limit };
  expect((await checked(known)).out).not.toContain("undeclared");
});

test.each([
  ["upstream", 'input.target.upstream == "cmr"', 'upstream "cmr"', 'did you mean "crm"?'],
  ["kind", '"tol" == input.target.kind', 'kind of target "tol"', 'did you mean "tool"?'],
  ["label", '"mony" in input.target.labels', 'label "mony"', 'did you mean "money"?'],
  ["server", 'not input.server in {"suport"}', 'virtual server "suport"', 'did you mean "support"?'],
  ["tenant", 'input.principal.tenant != "acne"', 'tenant "acne"', 'did you mean "acme"?'],
  [
    "target",
    '{ input.target.upstream == "crm"; input.target.name == "refnd" }',
    'target of crm that is called "refnd"',
    'did you mean "refund"?',
  ],
])("a name that nothing has is a warning: %s", async (_, condition, what, hint) => {
  const { code, out } = await checked({
    ...config(
      'crm: {url: "http://127.0.0.1:9/mcp"}',
      'crm: {url: "http://127.0.0.1:9/mcp", labels: [money]}',
    ),
    "acme/authz.rego": `package authz\n\ndeny contains "x" if ${condition}\n`,
  });
  expect(code).toBe(0);
  expect(out).toContain(`warning: name_unknown: there is no ${what}\n    ${hint}\n`);
});

test("so is a member of the tenant's record that no tenant has, and nothing is said of one that a schema knows", async () => {
  const grant = `package authz\n\ngrant contains {"reason": "x", "arguments": {"amount": {"maximum": input.tenant.limt}}}\n`;
  const limited = config("record: {}", "record: {limit: 3}");
  const { out } = await checked({ ...limited, "acme/authz.rego": grant });
  expect(out).toContain(
    'acme/authz.rego:3:68: warning: name_unknown: there is no tenant whose record has "limt"\n    did you mean "limit"?\n',
  );
  const right = grant.replace("limt", "limit");
  expect((await checked({ ...limited, "acme/authz.rego": right })).out).not.toContain("name_unknown");
});

test("a resource that no server lists may be named, and what is not pinned yet", async () => {
  const own = (name: string, upstream = "crm") => ({
    "acme/authz.rego": `package authz\n\ndeny contains "x" if {\n  input.target.upstream == "${upstream}"\n  input.target.name == "${name}"\n}\n`,
  });
  expect((await checked(own("note://1"))).out).toContain("ok: ");
  expect((await checked(own("note://1"))).out).not.toContain("warning");
  expect((await checked(own("anything", "files"))).out).not.toContain("warning");
});

test("programs read the same as JSON", async () => {
  const { code, out } = await checked(policy('"source": "crm"', '"source": "crn"'), true);
  expect(code).toBe(1);
  expect(JSON.parse(out)).toEqual({
    ok: false,
    problems: [
      {
        severity: "error",
        code: "credential_unknown",
        message: 'there is no credential source "crn"',
        hint: 'did you mean "crm"?',
        file: "policies/authz.rego",
        row: 3,
        col: 1,
      },
    ],
    layers: 2,
    rules: 2,
    requirements: 0,
    tenants: 1,
    targets: 1,
  });
});

test("a configuration that is not there could not be checked: 2", async () => {
  const { around, printed } = surroundings(company());
  expect(await check({ config: "other.yaml" }, around)).toBe(2);
  expect(printed.out).toBe(
    "other.yaml: file_unreadable: cannot be read: no such file or directory\n    name the configuration with -c FILE\n1 error\n",
  );
});

test("what a tenant's author names does not steer the operator's terminal", async () => {
  const { code, out } = await checked({
    "acme/a\u001b[2J.rego": `${OWN}
grant contains {"reason": "x", "requires": ["\\u001b]0;owned\\u0007\\u202e\\u009b2J"]}
`,
  });
  expect(code).toBe(1);
  expect(out).toContain("requirement_unknown");
  expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
});
