package lib.ids_test

import data.lib.ids

whole(pattern, value) if regex.match($"^(?:{pattern})$", value)

test_numbered if {
	whole(ids.numbered("ACME"), "ACME-1")
	not whole(ids.numbered("ACME"), "GLX-1")
	not whole(ids.numbered("ACME"), "ACME-1234567")
	not whole(ids.numbered("ACME"), "XACME-1")
}

test_owned if {
	whole(ids.owned("acme"), "acme/oven 2")
	not whole(ids.owned("acme"), "acme/")
	not whole(ids.owned("acme"), "acme/x/globex/y")
	not whole(ids.owned("acme"), "globex/oven")
}
