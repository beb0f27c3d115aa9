# Business hours: a requirement and not a denial, so that the tool stays in view and the refusal says why.
package authz

import data.lib.hours

grant contains {
	"reason": "operators restart services during office hours",
	"requires": ["office_hours"],
} if {
	input.target.upstream == "ops"
	input.target.name == "restart"
	"operator" in input.principal.roles
}

# METADATA
# title: office hours, Monday to Friday from 8 to 18 in Berlin
holds.office_hours if hours.within(time.now_ns(), "Europe/Berlin", hours.workdays, 8, 18)
