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

test_the_environment_is_for_nobody if {
	every principal in [ann, bob, cho, dee] {
		count(authz.deny) == 1 with input as asks(principal, "everything", "get-env")
	}
}
