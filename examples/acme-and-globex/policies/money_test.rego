package authz_test

import data.authz

test_each_company_sets_its_own_limit_and_currency if {
	some grant in authz.grant with input as asks(ann, "desk", "refund")
	grant.arguments.amount.maximum == 200
	grant.arguments.currency == {"const": "EUR"}
	some other in authz.grant with input as asks(dee, "desk", "refund")
	other.arguments.amount.maximum == 50
	other.arguments.currency == {"const": "GBP"}
}

test_a_lead_has_the_larger_grant_behind_the_smaller if {
	grants := authz.grant with input as asks(bob, "desk", "refund")
	{[object.get(grant, "rank", 100), grant.arguments.amount.maximum] | some grant in grants} == {[100, 200], [200, 1000]}
}

test_the_larger_grant_needs_a_fresh_login if {
	some grant in authz.grant with input as asks(bob, "desk", "refund")
	grant.rank == 200
	"fresh_login" in grant.requires
}

test_contractors_do_not_handle_money_whatever_their_other_roles if {
	both := person("cho", "acme", ["contractor", "support"])
	"contractors do not handle money" in authz.deny with input as asks(both, "desk", "refund")
}

test_money_is_limited_for_everyone if {
	{"arguments": {"amount": {"maximum": 10000}}} in authz.limit with input as asks(bob, "desk", "refund")
	count(authz.limit) == 0 with input as asks(bob, "desk", "get_ticket")
}

test_a_login_is_fresh_for_five_minutes if {
	authz.holds.fresh_login with input as calls(bob, "desk", "refund", {}) with time.now_ns as now * 1000000000
	stale := object.union(bob, {"auth_time": now - 300})
	not authz.holds.fresh_login with input as calls(stale, "desk", "refund", {}) with time.now_ns as now * 1000000000
}

test_no_login_time_is_no_fresh_login if {
	unknown := object.union(bob, {"auth_time": 0})
	not authz.holds.fresh_login with input as calls(unknown, "desk", "refund", {}) with time.now_ns as now * 1000000000
}

test_blocked_accounts_are_each_companys_own if {
	blocked := {"iban": "DE89370400440532013000"}
	not authz.holds.account_not_blocked with input as calls(ann, "desk", "refund", blocked)
	authz.holds.account_not_blocked with input as calls(dee, "desk", "refund", blocked)
}
