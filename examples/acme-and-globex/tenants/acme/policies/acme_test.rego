package authz_test

import data.authz

asks(roles, upstream, name, labels) := {
	"principal": {
		"kind": "user", "issuer": "https://idp.example", "subject": "cho", "tenant": "acme", "home_tenant": "acme",
		"roles": roles, "scopes": [], "client": "", "auth_time": 0, "acr": "", "amr": [], "actor": "",
		"run": null, "attributes": {},
	},
	"tenant": {
		"id": "acme", "name": "Acme", "ticket_prefix": "ACME", "currency": "EUR",
		"refund_limit": 200, "lead_refund_limit": 1000, "blocked_ibans": [],
	},
	"target": {"upstream": upstream, "kind": "tool", "name": name, "labels": labels, "announced": {}},
	"server": "support",
	"context": {"now": 1793610000},
}

test_contractors_close_tickets if {
	some grant in authz.grant with input as asks(["contractor"], "desk", "close_ticket", [])
	grant.arguments.ticket.pattern == "ACME-[0-9]{1,6}"
	grant.credential == {"source": "desk", "role": "agent"}
	grant.requires == ["recent_login"]
	count(authz.grant) == 0 with input as asks(["support"], "desk", "close_ticket", [])
}

test_money_goes_to_a_few_countries if {
	some limit in authz.limit with input as asks(["support"], "desk", "refund", ["money"])
	regex.match($"^(?:{limit.arguments.iban.pattern})$", "DE02120300000000202051")
	not regex.match($"^(?:{limit.arguments.iban.pattern})$", "GB33BUKB20201555555555")
	count(authz.limit) == 0 with input as asks(["support"], "desk", "get_ticket", [])
}

test_contractors_do_not_export_in_bulk if {
	count(authz.deny) == 1 with input as asks(["contractor"], "desk", "export_tickets", ["bulk"])
	count(authz.deny) == 0 with input as asks(["support"], "desk", "export_tickets", ["bulk"])
}

test_what_acme_grants_the_platform_may_still_deny if {
	count(authz.grant) == 1 with input as asks(["support-lead"], "everything", "get-env", ["internal"])
}

test_a_login_is_recent_for_eight_hours if {
	asked := asks(["contractor"], "desk", "close_ticket", [])
	authz.holds.recent_login with input as asked with time.now_ns as 28799 * 1000000000
	not authz.holds.recent_login with input as asked with time.now_ns as 28800 * 1000000000
}
