package authz_test

import data.authz

asks(upstream, name, labels) := {
	"principal": {
		"kind": "user", "issuer": "https://idp.example", "subject": "dee", "tenant": "globex", "home_tenant": "globex",
		"roles": ["support"], "scopes": [], "client": "", "auth_time": 0, "acr": "", "amr": [], "actor": "",
		"run": null, "attributes": {},
	},
	"tenant": {
		"id": "globex", "name": "Globex", "ticket_prefix": "GLX", "currency": "GBP",
		"refund_limit": 50, "lead_refund_limit": 400, "blocked_ibans": [],
	},
	"target": {"upstream": upstream, "kind": "tool", "name": name, "labels": labels, "announced": {}},
	"server": "support",
	"context": {"now": 1793610000},
}

test_answers_are_brief if {
	some limit in authz.limit with input as asks("desk", "reply_ticket", [])
	limit.arguments.text.maxLength == 800
	count(authz.limit) == 0 with input as asks("desk", "close_ticket", [])
}

test_no_shared_notes_are_written if {
	count(authz.deny) == 1 with input as asks("memory", "create_entities", ["shared"])
	count(authz.deny) == 0 with input as asks("memory", "open_nodes", ["shared"])
	count(authz.deny) == 0 with input as asks("desk", "reply_ticket", [])
}
