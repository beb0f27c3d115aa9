package authz_test

import data.authz

restarts := {
	"principal": {"tenant": "acme", "home_tenant": "acme", "roles": ["operator"]},
	"target": {"upstream": "ops", "name": "restart", "labels": []},
	"arguments": {},
}

test_restarting_requires_office_hours if {
	some grant in authz.grant with input as restarts
	grant.requires == ["office_hours"]
}

test_the_office_is_open_on_a_monday_morning if {
	authz.holds.office_hours with input as restarts with time.now_ns as time.parse_rfc3339_ns("2026-11-02T09:00:00Z")
	not authz.holds.office_hours with input as restarts with time.now_ns as time.parse_rfc3339_ns("2026-11-02T20:00:00Z")
	not authz.holds.office_hours with input as restarts with time.now_ns as time.parse_rfc3339_ns("2026-11-01T09:00:00Z")
}
