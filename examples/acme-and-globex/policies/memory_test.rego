package authz_test

import data.authz

test_notes_are_opened_by_the_owners_name if {
	some grant in authz.grant with input as asks(ann, "memory", "open_nodes")
	grant.arguments.names.items.pattern == "acme/[A-Za-z0-9][A-Za-z0-9 ._-]*"
}

test_nobody_reads_the_whole_graph if {
	every principal in [ann, bob, cho, dee] {
		every name in ["read_graph", "search_nodes"] {
			count(authz.grant) == 0 with input as asks(principal, "memory", name)
		}
	}
}

test_only_leads_keep_notes if {
	count(authz.grant) == 1 with input as asks(bob, "memory", "create_entities")
	count(authz.grant) == 0 with input as asks(ann, "memory", "create_entities")
}

test_deleting_notes_needs_a_fresh_login if {
	some grant in authz.grant with input as asks(bob, "memory", "delete_entities")
	grant.requires == ["fresh_login"]
}
