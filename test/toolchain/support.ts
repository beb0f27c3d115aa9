import { afterAll } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { createToolchain, type PolicySources, type Problem } from "../../src/policy/toolchain.ts";
import { MONEY } from "./money.ts";

/** One client for the tests of a file. */
export const toolchain = createToolchain();
afterAll(() => toolchain.close());

/** The tenant's record of the sample world. */
export const tenantSchema: JsonObject = {
  type: "object",
  properties: {
    id: { type: "string" },
    refund_limit: { type: "number" },
    suspended: { type: "boolean" },
    blocked_ibans: { type: "array", items: { type: "string" } },
    quotas: { type: "object", additionalProperties: { type: "number" } },
    rules: {
      type: "array",
      items: {
        type: "object",
        properties: { tool: { type: "string" }, note: { type: "string" } },
        required: ["tool"],
      },
    },
  },
  required: ["refund_limit", "blocked_ibans", "quotas", "rules"],
};

export const REFUND = `package authz

# Support agents refund up to their tenant's limit.
grant contains {
	"reason": "support refunds within the tenant's limit",
	"arguments": {
		"amount": {"maximum": input.tenant.refund_limit},
		"currency": {"const": "EUR"},
	},
	"requires": ["fresh_login", "account_not_blocked"],
	"credential": {"source": "crm", "role": "refunder"},
} if {
	"support" in input.principal.roles
	input.target.upstream == "crm"
	input.target.name == "refund"
}

${MONEY}`;

export function sources(files: PolicySources["files"], data: JsonObject = {}): PolicySources {
  return { files, data, tenantSchema };
}

/** Problems of one policy file, given without its package line: its first line is row 2. */
export async function problemsOf(body: string): Promise<Problem[]> {
  const { problems } = await toolchain.check(
    sources({ "authz.rego": `package authz\n${body}` }, { grants: [] }),
  );
  const ofFragments = ["nothing_granted", "requirement_unused", "requirement_untitled"];
  return problems.filter(({ code }) => !ofFragments.includes(code));
}
