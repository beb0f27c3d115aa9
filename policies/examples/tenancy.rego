# Tenancy: one server for many tenants, each held to its own identifiers.
package authz

# The pattern has to match the whole argument, and a bounded argument has to be there: a call that leaves the account
# out, and lets the server choose one, is refused as well. `input.principal.tenant` comes from the token's issuer, by
# configuration; a caller cannot say it.
grant contains {
	"reason": "everyone reads their own tenant's accounts",
	"arguments": {"account": {"pattern": $"{input.principal.tenant}-[0-9]+"}},
} if {
	input.target.upstream == "ledger"
	input.target.name == "read_account"
}

# Where a server takes the tenant as an argument, the caller neither sees nor sends it.
grant contains {
	"reason": "everyone lists their own tenant's accounts",
	"arguments": {"tenant": {"set": input.principal.tenant}},
} if {
	input.target.upstream == "ledger"
	input.target.name == "list_accounts"
}

# A visitor from another tenant reads and does no more, whatever else would open a target.
deny contains "visitors from another tenant change nothing" if {
	input.principal.home_tenant != input.principal.tenant
	"changes" in input.target.labels
}
