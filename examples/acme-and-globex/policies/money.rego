# Money: who may move it, how much at once, and under which conditions.
package authz

import data.lib.ids

grant contains {
	"reason": "support refunds within its company's limit",
	"arguments": {
		"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)},
		"amount": {"exclusiveMinimum": 0, "maximum": input.tenant.refund_limit, "multipleOf": 0.01},
		"currency": {"const": input.tenant.currency},
	},
	"requires": ["account_not_blocked"],
	"credential": {"source": "desk", "role": "refunder", "ttl": 60},
} if {
	input.target.upstream == "desk"
	input.target.name == "refund"
	"support" in input.principal.roles
}

# A lead refunds more, after a fresh login. The smaller grant comes first: no one needs to log in again for small change.
grant contains {
	"reason": "leads refund up to the lead's limit",
	"rank": 200,
	"arguments": {
		"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)},
		"amount": {"exclusiveMinimum": 0, "maximum": input.tenant.lead_refund_limit, "multipleOf": 0.01},
		"currency": {"const": input.tenant.currency},
	},
	"requires": ["account_not_blocked", "fresh_login"],
	"credential": {"source": "desk", "role": "refunder", "ttl": 60},
} if {
	input.target.upstream == "desk"
	input.target.name == "refund"
	"support-lead" in input.principal.roles
}

# Whatever a grant says, of whichever layer.
limit contains {"arguments": {"amount": {"maximum": 10000}}} if "money" in input.target.labels

deny contains "contractors do not handle money" if {
	"contractor" in input.principal.roles
	"money" in input.target.labels
}

# METADATA
# title: a login in the last five minutes
# custom:
#   step_up: {max_age: 300}
holds.fresh_login if (time.now_ns() / 1000000000) - input.principal.auth_time < 300

# METADATA
# title: an account that is not blocked
holds.account_not_blocked if not input.arguments.iban in input.tenant.blocked_ibans
