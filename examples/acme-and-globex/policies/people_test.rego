# The sample people and companies, for the tests beside the policies.
package authz_test

now := 1793610000 # 2026-11-02T09:00:00Z

tenants := {
	"acme": {
		"id": "acme", "name": "Acme", "ticket_prefix": "ACME", "currency": "EUR",
		"refund_limit": 200, "lead_refund_limit": 1000, "blocked_ibans": ["DE89370400440532013000"],
	},
	"globex": {
		"id": "globex", "name": "Globex", "ticket_prefix": "GLX", "currency": "GBP",
		"refund_limit": 50, "lead_refund_limit": 400, "blocked_ibans": ["GB33BUKB20201555555555"],
	},
}

person(subject, tenant, roles) := {
	"kind": "user", "issuer": "https://idp.example", "subject": subject, "tenant": tenant, "home_tenant": tenant,
	"roles": roles, "scopes": [], "client": "", "auth_time": now - 60, "acr": "", "amr": [], "actor": "",
	"run": null, "attributes": {},
}

ann := person("ann", "acme", ["support"])

bob := person("bob", "acme", ["support", "support-lead"])

cho := person("cho", "acme", ["contractor"])

dee := person("dee", "globex", ["support"])

labels := {
	"desk": {"refund": ["money"], "export_tickets": ["bulk"]},
	"everything": {"get-env": ["internal"]},
	"files": {"list_allowed_directories": ["internal"]},
	"memory": {},
}

asks(principal, upstream, name) := {
	"principal": principal,
	"tenant": tenants[principal.tenant],
	"target": {
		"upstream": upstream, "kind": "tool", "name": name,
		"labels": object.get(labels, [upstream, name], []), "announced": {},
	},
	"server": "support",
	"context": {"now": now},
}

calls(principal, upstream, name, arguments) := object.union(asks(principal, upstream, name), {"arguments": arguments})

reasons(grants) := {grant.reason | some grant in grants}
