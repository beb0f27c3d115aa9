# Money: small sums at once, larger sums after a fresh login, and a limit that no grant lifts.
package authz

grant contains {
	"reason": "clerks pay up to 100",
	"arguments": {"amount": {"exclusiveMinimum": 0, "maximum": 100, "multipleOf": 0.01}, "currency": {"enum": ["EUR", "USD"]}},
	"credential": {"source": "bank", "role": "payer"},
} if {
	input.target.upstream == "bank"
	input.target.name == "pay"
	"clerk" in input.principal.roles
}

# The higher rank stands behind the lower: this grant is chosen only for what the first one does not cover.
grant contains {
	"reason": "clerks pay up to 1000 after a fresh login",
	"rank": 200,
	"arguments": {"amount": {"exclusiveMinimum": 0, "maximum": 1000, "multipleOf": 0.01}, "currency": {"enum": ["EUR", "USD"]}},
	"requires": ["fresh_payment_login"],
	"credential": {"source": "bank", "role": "payer"},
} if {
	input.target.upstream == "bank"
	input.target.name == "pay"
	"clerk" in input.principal.roles
}

limit contains {"arguments": {"amount": {"maximum": 5000}}} if "payment" in input.target.labels

# METADATA
# title: a login in the last two minutes
# custom:
#   step_up: {max_age: 120}
holds.fresh_payment_login if (time.now_ns() / 1000000000) - input.principal.auth_time < 120
