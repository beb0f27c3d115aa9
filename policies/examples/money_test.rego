package authz_test

import data.authz

pays(roles, auth_time) := {
	"principal": {"tenant": "acme", "home_tenant": "acme", "roles": roles, "auth_time": auth_time},
	"target": {"upstream": "bank", "name": "pay", "labels": ["payment"]},
	"arguments": {"amount": 500, "currency": "EUR"},
}

test_a_clerk_has_two_steps if {
	grants := authz.grant with input as pays(["clerk"], 0)
	{grant.arguments.amount.maximum | some grant in grants} == {100, 1000}
	count(authz.grant) == 0 with input as pays(["intern"], 0)
}

test_only_the_second_needs_a_fresh_login if {
	grants := authz.grant with input as pays(["clerk"], 0)
	{object.get(grant, "requires", []) | some grant in grants} == {[], ["fresh_payment_login"]}
}

test_payments_are_limited_for_all if {
	{"arguments": {"amount": {"maximum": 5000}}} in authz.limit with input as pays([], 0)
}

test_two_minutes_are_fresh if {
	authz.holds.fresh_payment_login with input as pays(["clerk"], 1000) with time.now_ns as 1119 * 1000000000
	not authz.holds.fresh_payment_login with input as pays(["clerk"], 1000) with time.now_ns as 1120 * 1000000000
}
