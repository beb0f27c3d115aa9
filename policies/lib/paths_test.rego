package lib.paths_test

import data.lib.paths

whole(pattern, value) if regex.match($"^(?:{pattern})$", value)

test_the_folder_and_what_is_below_it[path] if {
	some path in ["acme", "acme/", "acme/a.txt", "acme/b c/d-e_f.md"]
	whole(paths.under("acme"), path)
}

test_nothing_else[path] if {
	some path in [
		"", "/", "acmex", "acme2/a", "globex/a", "/acme/a", "./acme/a", "acme/../globex/a", "acme/..", "acme/.git",
		"acme//a", `acme\a`, "acme/a\n", "acme/a/../../b", "acme/%2e%2e/b",
	]
	not whole(paths.under("acme"), path)
}

test_a_folder_that_is_a_pattern_gives_none[folder] if {
	some folder in ["", ".", "..", ".*", "a/../b", "/a", "a/", "a|b", "a\n"]
	not paths.under(folder)
}
