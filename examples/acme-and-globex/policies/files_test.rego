package authz_test

import data.authz

pattern(principal, name) := grant.arguments.path.pattern if {
	some grant in authz.grant with input as asks(principal, "files", name)
}

whole(pattern, path) if regex.match($"^(?:{pattern})$", path)

test_each_company_has_its_folder if {
	whole(pattern(ann, "read_text_file"), "acme/internal/refunds.md")
	not whole(pattern(ann, "read_text_file"), "globex/public/hours.md")
	whole(pattern(dee, "read_text_file"), "globex/public/hours.md")
}

test_contractors_have_its_public_part if {
	whole(pattern(cho, "read_text_file"), "acme/public/tone.md")
	not whole(pattern(cho, "read_text_file"), "acme/internal/refunds.md")
}

test_only_leads_write if {
	whole(pattern(bob, "write_file"), "acme/internal/refunds.md")
	count(authz.grant) == 0 with input as asks(ann, "files", "write_file")
	count(authz.grant) == 0 with input as asks(cho, "files", "write_file")
}

test_both_ends_of_a_move_are_bounded if {
	some grant in authz.grant with input as asks(bob, "files", "move_file")
	object.keys(grant.arguments) == {"source", "destination"}
}

test_nobody_lists_all_folders if {
	"internal tools are not for agents" in authz.deny with input as asks(bob, "files", "list_allowed_directories")
}

test_several_files_are_bounded_one_by_one if {
	some grant in authz.grant with input as asks(ann, "files", "read_multiple_files")
	whole(grant.arguments.paths.items.pattern, "acme/public/tone.md")
	not whole(grant.arguments.paths.items.pattern, "globex/public/hours.md")
}
