package authz_test

import data.authz

asks(roles) := {
	"principal": {"roles": roles},
	"tenant": {"id": "acme", "most_rows": 20},
	"target": {"upstream": "tickets", "kind": "tool", "name": "query_tickets", "labels": [], "announced": {}},
	"server": "desk",
}

test_support_reads_with_a_role_of_its_own if {
	some grant in authz.grant with input as asks(["support"])
	grant.credential == {"source": "tickets", "role": "reader"}
	grant.arguments.limit.maximum == 20
}

test_nobody_else_reads if {
	count(authz.grant) == 0 with input as asks(["contractor"])
}
