# Acme's own layer. It adds to the platform's grants what Acme's configuration allows, and narrows them all.
package authz

# Acme lets contractors close the tickets that they answered.
grant contains {
	"reason": "acme's contractors close tickets",
	"arguments": {"ticket": {"pattern": $"{input.tenant.ticket_prefix}-[0-9]\{1,6}"}},
	"requires": ["recent_login"],
	"credential": {"source": "desk", "role": "agent"},
} if {
	input.target.upstream == "desk"
	input.target.name == "close_ticket"
	"contractor" in input.principal.roles
}

# This would open a tool that the platform denies: it does not.
grant contains {"reason": "acme's leads look inside"} if {
	input.target.upstream == "everything"
	input.target.name == "get-env"
	"support-lead" in input.principal.roles
}

# Acme pays within the euro's neighbourhood only.
limit contains {"arguments": {"iban": {"pattern": "(AT|BE|DE|ES|FR|IT|NL|PT)[0-9]{2}[A-Z0-9]{11,30}"}}} if {
	"money" in input.target.labels
}

deny contains "acme's contractors do not export in bulk" if {
	"contractor" in input.principal.roles
	"bulk" in input.target.labels
}

# METADATA
# title: a login in the last eight hours
# custom:
#   step_up: {max_age: 28800}
holds.recent_login if (time.now_ns() / 1000000000) - input.principal.auth_time < 28800
