# The reference server: a few harmless tools for everyone, and nothing that looks inside.
package authz

grant contains {"reason": "everyone may try the reference tools"} if {
	input.target.upstream == "everything"
	input.target.name in {"echo", "get-sum", "get-tiny-image", "get-structured-content"}
}

grant contains {
	"reason": "support runs short operations",
	"arguments": {"duration": {"maximum": 10, "optional": true}, "steps": {"maximum": 20, "optional": true}},
} if {
	input.target.upstream == "everything"
	input.target.name == "trigger-long-running-operation"
	"support" in input.principal.roles
}

# Even where a tenant's own policy would grant it.
deny contains "internal tools are not for agents" if "internal" in input.target.labels
