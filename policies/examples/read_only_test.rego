package authz_test

import data.authz

guest(upstream, announced, labels) := {
	"principal": {"tenant": "acme", "home_tenant": "acme", "roles": ["guest"]},
	"target": {"upstream": upstream, "name": "find", "labels": labels, "announced": announced},
}

reads := {"annotations": {"readOnlyHint": true}}

test_guests_use_what_is_announced_as_read_only if {
	count(authz.grant) == 1 with input as guest("wiki", reads, [])
	count(authz.grant) == 0 with input as guest("wiki", {"annotations": {"readOnlyHint": false}}, [])
	count(authz.grant) == 0 with input as guest("wiki", {"annotations": {"readOnlyHint": "true"}}, [])
	count(authz.grant) == 0 with input as guest("wiki", {}, [])
}

test_an_announcement_opens_no_other_upstream if count(authz.grant) == 0 with input as guest("mail", reads, [])

test_a_label_is_stronger_than_an_announcement if {
	"guests change nothing" in authz.deny with input as guest("wiki", reads, ["changes"])
}
