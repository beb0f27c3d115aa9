package authz_test

import data.authz

visits(home, name, labels) := {
	"principal": {"tenant": "acme", "home_tenant": home, "roles": []},
	"target": {"upstream": "ledger", "name": name, "labels": labels},
}

test_accounts_are_bound_to_the_tenant if {
	some grant in authz.grant with input as visits("acme", "read_account", [])
	grant.arguments.account.pattern == "acme-[0-9]+"
}

test_the_tenant_is_set_and_not_asked_for if {
	some grant in authz.grant with input as visits("acme", "list_accounts", [])
	grant.arguments.tenant == {"set": "acme"}
}

test_visitors_change_nothing if {
	count(authz.deny) == 1 with input as visits("globex", "post_entry", ["changes"])
	count(authz.deny) == 0 with input as visits("acme", "post_entry", ["changes"])
	count(authz.deny) == 0 with input as visits("globex", "read_account", [])
}
