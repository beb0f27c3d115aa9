package lib.hours_test

import data.lib.hours

at(text) := time.parse_rfc3339_ns(text)

office(text) if hours.within(at(text), "Europe/Berlin", hours.workdays, 8, 18)

test_local_time_counts if {
	office("2026-11-02T07:00:00Z") # Monday, 08:00 in Berlin
	not office("2026-11-02T06:59:59Z")
	office("2026-11-02T16:59:59Z")
	not office("2026-11-02T17:00:00Z")
}

test_summer_time_counts if office("2026-07-06T06:00:00Z")

test_weekends_are_closed if not office("2026-11-01T10:00:00Z")

test_an_unknown_zone_is_never_open if not hours.within(at("2026-11-02T10:00:00Z"), "Mars/Base", hours.workdays, 0, 24)
