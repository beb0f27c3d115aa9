package authz_test

import data.authz

test_everyone_may_echo if {
	every principal in [ann, bob, cho, dee] {
		count(authz.grant) == 1 with input as asks(principal, "everything", "echo")
	}
}

test_operations_are_short_where_their_length_is_said if {
	some grant in authz.grant with input as asks(ann, "everything", "trigger-long-running-operation")
	grant.arguments.duration == {"maximum": 10, "optional": true}
	count(authz.grant) == 0 with input as asks(cho, "everything", "trigger-long-running-operation")
}

pages := "demo://resource/static/document/features.md"

test_everyone_reads_the_pages if {
	every principal in [ann, bob, cho, dee] {
		count(authz.grant) == 1 with input as of_kind(asks(principal, "everything", pages), "resource")
		count(authz.grant) == 0 with input as of_kind(asks(principal, "everything", "demo://resource/session/x"), "resource")
	}
}

test_support_reads_numbered_texts if {
	text := "demo://resource/dynamic/text/{resourceId}"
	some grant in authz.grant with input as of_kind(asks(ann, "everything", text), "template")
	grant.arguments == {"resourceId": {"pattern": "[1-9][0-9]?"}}
	count(authz.grant) == 0 with input as of_kind(asks(cho, "everything", text), "template")
}

test_prompts if {
	count(authz.grant) == 1 with input as of_kind(asks(cho, "everything", "args-prompt"), "prompt")
	some grant in authz.grant with input as of_kind(asks(bob, "everything", "completable-prompt"), "prompt")
	grant.arguments.department.enum == ["Sales", "Support"]
	count(authz.grant) == 0 with input as of_kind(asks(ann, "everything", "completable-prompt"), "prompt")
}

of_kind(asked, kind) := object.union(asked, {"target": {"kind": kind}})

test_the_environment_is_for_nobody if {
	every principal in [ann, bob, cho, dee] {
		count(authz.deny) == 1 with input as asks(principal, "everything", "get-env")
	}
}
