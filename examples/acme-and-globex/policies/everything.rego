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

# The server's own handbook: pages that it lists. What is not a page of it is another name.
grant contains {"reason": "everyone reads the reference documents"} if {
	input.target.upstream == "everything"
	input.target.kind == "resource"
	startswith(input.target.name, "demo://resource/static/document/")
}

grant contains {
	"reason": "support reads the first dynamic texts",
	"arguments": {"resourceId": {"pattern": "[1-9][0-9]?"}},
} if {
	input.target.upstream == "everything"
	input.target.kind == "template"
	input.target.name == "demo://resource/dynamic/text/{resourceId}"
	"support" in input.principal.roles
}

grant contains {"reason": "everyone may try the reference prompts"} if {
	input.target.upstream == "everything"
	input.target.kind == "prompt"
	input.target.name in {"simple-prompt", "args-prompt"}
}

grant contains {
	"reason": "leads staff their own departments",
	"arguments": {"department": {"enum": ["Sales", "Support"]}},
} if {
	input.target.upstream == "everything"
	input.target.kind == "prompt"
	input.target.name == "completable-prompt"
	"support-lead" in input.principal.roles
}

# Even where a tenant's own policy would grant it.
deny contains "internal tools are not for agents" if "internal" in input.target.labels
