# Who works at the support desk, and with what.
package authz

import data.lib.ids

# Support reads its own company's tickets, and no other's.
grant contains {
	"reason": "support lists and searches tickets",
	"credential": {"source": "desk", "role": "reader"},
} if {
	input.target.upstream == "desk"
	"support" in input.principal.roles
	input.target.name in {"list_tickets", "search_tickets", "export_tickets"}
}

grant contains {
	"reason": "support reads its company's tickets",
	"arguments": {"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)}},
	"credential": {"source": "desk", "role": "reader"},
} if {
	input.target.upstream == "desk"
	"support" in input.principal.roles
	input.target.name == "get_ticket"
}

grant contains {
	"reason": "support answers and closes its company's tickets",
	"arguments": {"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)}},
	"credential": {"source": "desk", "role": "agent"},
} if {
	input.target.upstream == "desk"
	"support" in input.principal.roles
	input.target.name in {"reply_ticket", "close_ticket"}
}

# Contractors see what is open, and answer; they neither close nor search the past.
grant contains {
	"reason": "contractors list open tickets",
	"arguments": {"status": {"set": "open"}},
	"credential": {"source": "desk", "role": "reader"},
} if {
	input.target.upstream == "desk"
	"contractor" in input.principal.roles
	input.target.name == "list_tickets"
}

grant contains {
	"reason": "contractors read their company's tickets",
	"arguments": {"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)}},
	"credential": {"source": "desk", "role": "reader"},
} if {
	input.target.upstream == "desk"
	"contractor" in input.principal.roles
	input.target.name == "get_ticket"
}

grant contains {
	"reason": "contractors answer in at most 500 characters",
	"arguments": {
		"ticket": {"pattern": ids.numbered(input.tenant.ticket_prefix)},
		"text": {"maxLength": 500},
	},
	"credential": {"source": "desk", "role": "agent"},
} if {
	input.target.upstream == "desk"
	"contractor" in input.principal.roles
	input.target.name == "reply_ticket"
}

# An auditor's reads are made as an auditor. Who is both support and auditor has to say which: the gateway does not
# choose between two credentials of the same rank.
grant contains {
	"reason": "auditors read tickets",
	"credential": {"source": "desk", "role": "auditor"},
} if {
	input.target.upstream == "desk"
	"auditor" in input.principal.roles
	input.target.name in {"list_tickets", "get_ticket"}
}
