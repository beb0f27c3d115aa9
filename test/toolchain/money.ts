/** What holds for money whoever opens a tool: a limit, a denial, and the two requirements that a grant may name. */
export const MONEY = `limit contains {"arguments": {"amount": {"maximum": 10000}}} if "money" in input.target.labels

deny contains "contractors do not handle money" if {
	"contractor" in input.principal.roles
	"money" in input.target.labels
}

# METADATA
# title: a login in the last five minutes
# custom:
#   step_up: {max_age: 300}
holds.fresh_login if time.now_ns() / 1000000000 - input.principal.auth_time < 300

# METADATA
# title: an account that is not blocked
holds.account_not_blocked if not input.arguments.iban in input.tenant.blocked_ibans
`;
