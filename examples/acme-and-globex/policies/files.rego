# Files: each company has a folder, each contractor its public part. The server itself knows no companies.
package authz

import data.lib.paths

reading := {
	"read_text_file", "read_media_file", "list_directory", "list_directory_with_sizes",
	"directory_tree", "search_files", "get_file_info",
}

writing := {"write_file", "edit_file", "create_directory"}

grant contains {
	"reason": "support reads its company's files",
	"arguments": {"path": {"pattern": paths.under(input.principal.tenant)}},
} if {
	input.target.upstream == "files"
	"support" in input.principal.roles
	input.target.name in reading
}

grant contains {
	"reason": "contractors read their company's public files",
	"arguments": {"path": {"pattern": paths.under($"{input.principal.tenant}/public")}},
} if {
	input.target.upstream == "files"
	"contractor" in input.principal.roles
	input.target.name in reading
}

grant contains {
	"reason": "leads write their company's files",
	"arguments": {"path": {"pattern": paths.under(input.principal.tenant)}},
} if {
	input.target.upstream == "files"
	"support-lead" in input.principal.roles
	input.target.name in writing
}

grant contains {
	"reason": "leads move files within their company's folder",
	"arguments": {
		"source": {"pattern": paths.under(input.principal.tenant)},
		"destination": {"pattern": paths.under(input.principal.tenant)},
	},
} if {
	input.target.upstream == "files"
	"support-lead" in input.principal.roles
	input.target.name == "move_file"
}

grant contains {
	"reason": "support reads several of its company's files",
	"arguments": {"paths": {"items": {"pattern": paths.under(input.principal.tenant)}, "maxItems": 20}},
} if {
	input.target.upstream == "files"
	"support" in input.principal.roles
	input.target.name == "read_multiple_files"
}
