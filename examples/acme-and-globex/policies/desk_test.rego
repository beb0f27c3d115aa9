package authz_test

import data.authz

test_support_reads_only_its_own_companys_tickets if {
	some grant in authz.grant with input as asks(ann, "desk", "get_ticket")
	grant.arguments.ticket.pattern == "ACME-[0-9]{1,6}"
	some other in authz.grant with input as asks(dee, "desk", "get_ticket")
	other.arguments.ticket.pattern == "GLX-[0-9]{1,6}"
}

test_answering_takes_the_agents_credential if {
	some grant in authz.grant with input as asks(ann, "desk", "close_ticket")
	grant.credential == {"source": "desk", "role": "agent"}
}

test_contractors_list_open_tickets_only if {
	some grant in authz.grant with input as asks(cho, "desk", "list_tickets")
	grant.arguments.status == {"set": "open"}
}

test_contractors_neither_search_nor_export_nor_close if {
	every name in ["search_tickets", "export_tickets", "close_ticket"] {
		count(authz.grant) == 0 with input as asks(cho, "desk", name)
	}
}

test_who_is_auditor_and_support_has_two_grants_of_one_rank if {
	both := person("ann", "acme", ["support", "auditor"])
	grants := authz.grant with input as asks(both, "desk", "get_ticket")
	{grant.credential.role | some grant in grants} == {"reader", "auditor"}
}

test_the_same_name_at_another_upstream_is_another_tool if {
	count(authz.grant) == 0 with input as asks(ann, "files", "get_ticket")
}

test_contractors_read_and_answer_briefly if {
	some reads in authz.grant with input as asks(cho, "desk", "get_ticket")
	reads.credential.role == "reader"
	some replies in authz.grant with input as asks(cho, "desk", "reply_ticket")
	replies.arguments.text == {"maxLength": 500}
}

test_support_lists_searches_and_exports if {
	every name in ["list_tickets", "search_tickets", "export_tickets"] {
		reasons(authz.grant) == {"support lists and searches tickets"} with input as asks(ann, "desk", name)
	}
}
