package authz_test

import data.authz

contracted(labels, run) := {
	"principal": {"tenant": "acme", "home_tenant": "acme", "roles": ["contractor", "support"], "run": run},
	"target": {"upstream": "chat", "name": "reply", "labels": labels},
	"arguments": {"text": "We are on it."},
}

test_contractors_answer_briefly_and_nothing_else if {
	some grant in authz.grant with input as contracted([], null)
	grant.arguments.text.maxLength == 500
	grant.others == false
}

test_a_second_role_does_not_lift_a_denial if {
	"contractors do not see personal data" in authz.deny with input as contracted(["personal"], null)
	count(authz.deny) == 0 with input as contracted([], null)
}

test_contractors_need_a_run_that_has_not_ended if {
	{"requires": ["within_a_run"]} in authz.limit with input as contracted([], null)
	not authz.holds.within_a_run with input as contracted([], null)
	run := {"id": "r", "expires": 2000}
	authz.holds.within_a_run with input as contracted([], run) with time.now_ns as 1999 * 1000000000
	not authz.holds.within_a_run with input as contracted([], run) with time.now_ns as 2000 * 1000000000
}
