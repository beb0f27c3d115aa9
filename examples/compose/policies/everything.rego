# The sample server: what has no effect beyond its answer.
package authz

grant contains {"reason": "anyone tries the sample tools"} if {
	input.target.upstream == "everything"
	input.target.name in {"echo", "get-sum"}
}
