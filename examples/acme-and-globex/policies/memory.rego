# Shared notes: one graph for both companies, so its entities carry the company's name.
package authz

import data.lib.ids

grant contains {
	"reason": "support reads its company's notes",
	"arguments": {"names": {"items": {"pattern": ids.owned(input.principal.tenant)}, "maxItems": 20}},
} if {
	input.target.upstream == "memory"
	"support" in input.principal.roles
	input.target.name == "open_nodes"
}

grant contains {
	"reason": "leads keep their company's notes",
	"arguments": {"entities": {
		"maxItems": 20,
		"items": {"properties": {"name": {"pattern": ids.owned(input.principal.tenant)}}},
	}},
} if {
	input.target.upstream == "memory"
	"support-lead" in input.principal.roles
	input.target.name == "create_entities"
}

grant contains {
	"reason": "leads delete their company's notes",
	"arguments": {"entityNames": {"items": {"pattern": ids.owned(input.principal.tenant)}, "maxItems": 20}},
	"requires": ["fresh_login"],
} if {
	input.target.upstream == "memory"
	"support-lead" in input.principal.roles
	input.target.name == "delete_entities"
}
