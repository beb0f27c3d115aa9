# Who reads the support desk's database, and as whom.
package authz

# The database itself knows the user, and shows the rows of the tenant acted on.
grant contains {
	"reason": "support reads its company's tickets",
	"arguments": {"limit": {"maximum": input.tenant.most_rows, "optional": true}},
	"credential": {"source": "tickets", "role": "reader"},
} if {
	input.target.upstream == "tickets"
	input.target.name == "query_tickets"
	"support" in input.principal.roles
}
