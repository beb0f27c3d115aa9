# Contractors: what a role must never do is a denial, since it holds whatever else the person may be.
package authz

grant contains {
	"reason": "contractors answer briefly",
	"arguments": {"text": {"maxLength": 500}},
	"others": false,
} if {
	input.target.upstream == "chat"
	input.target.name == "reply"
	"contractor" in input.principal.roles
}

deny contains "contractors do not see personal data" if {
	"contractor" in input.principal.roles
	"personal" in input.target.labels
}

# A contractor's token must come from a run: a short-lived token that somebody narrowed for one task.
limit contains {"requires": ["within_a_run"]} if "contractor" in input.principal.roles

# METADATA
# title: a run that was begun for this task
holds.within_a_run if input.principal.run.expires > time.now_ns() / 1000000000
