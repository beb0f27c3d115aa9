# Read-only: what a server announces of its own tools can open no more than you would have opened anyway.
package authz

# `announced` is untrusted, so it may narrow what configuration has opened: these upstreams are known to tell the truth,
# and a tool whose announcement changes is quarantined until somebody approves it.
grant contains {"reason": "guests use tools that are announced as read-only"} if {
	input.target.upstream in {"wiki", "calendar"}
	"guest" in input.principal.roles
	input.target.announced.annotations.readOnlyHint == true
}

# Never the other way round: a label comes from configuration, an annotation from whoever wrote the server.
deny contains "guests change nothing" if {
	"guest" in input.principal.roles
	"changes" in input.target.labels
}
