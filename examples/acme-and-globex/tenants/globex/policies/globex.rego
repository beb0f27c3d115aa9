# Globex's own layer. It grants nothing more, and narrows what the platform grants.
package authz

# What a customer reads is signed off by a person: an agent answers briefly.
limit contains {"arguments": {"text": {"maxLength": 800}}} if {
	input.target.upstream == "desk"
	input.target.name == "reply_ticket"
}

# Globex keeps no notes on a server that others share.
deny contains "globex writes no shared notes" if {
	"shared" in input.target.labels
	not startswith(input.target.name, "open_")
	not startswith(input.target.name, "read_")
	not startswith(input.target.name, "search_")
}
