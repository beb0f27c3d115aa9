# METADATA
# title: Hours of the week
package lib.hours

# METADATA
# title: the hour is within [from, to), on one of the days, where the office is
# description: >-
#   `ns` is nanoseconds since the epoch, `zone` an IANA name such as Europe/Berlin, `days` English names of days.
within(ns, zone, days, from, to) if {
	time.weekday([ns, zone]) in days
	[hour, _, _] := time.clock([ns, zone])
	hour >= from
	hour < to
}

workdays := {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
