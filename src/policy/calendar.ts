/** A moment, and the zone in which its calendar is read. */
export interface Instant {
  /** Since the epoch, rounded down. */
  readonly seconds: number;
  readonly nanos: number;
  /** A name of the IANA time zone database (`Europe/Vienna`, `Japan`), or `UTC` (also ""). */
  readonly zone: string;
}

export interface Calendar {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SECOND = 1_000_000_000n;

/** @throws RangeError when the zone is not known, or before 1970 outside UTC */
export function calendar(instant: Instant): Calendar {
  const local = localDate(instant);
  return {
    year: local.getUTCFullYear(),
    month: local.getUTCMonth() + 1,
    day: local.getUTCDate(),
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    second: local.getUTCSeconds(),
  };
}

export function weekdayOf(instant: Instant): string {
  return WEEKDAYS[localDate(instant).getUTCDay()] ?? "";
}

/** Nanoseconds since the epoch. A day that the month lacks runs into the next, as with Go's `Time.AddDate`. */
export function addDate(instant: Instant, years: number, months: number, days: number): bigint {
  const { year, month, day, hour, minute, second } = calendar(instant);
  const local = Date.UTC(year + years, month - 1 + months, day + days, hour, minute, second) / 1000;
  if (!Number.isSafeInteger(local)) throw new RangeError("beyond the calendar");
  // Go's choice where the clocks change: the offset at the local reading, corrected once.
  const guess = offset(local, instant.zone);
  const seconds = local - (guess === 0 ? 0 : offset(local - guess, instant.zone));
  return BigInt(seconds) * SECOND + BigInt(instant.nanos);
}

/** The local reading, as if it were UTC. */
function localDate({ seconds, zone }: Instant): Date {
  return new Date((seconds + offset(seconds, zone)) * 1000);
}

/** Names without an area that the database has. */
const ALONE =
  "CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|GB|GB-Eire|GMT|GMT[+-]0|GMT0|Greenwich|HST|Hongkong|Iceland|Iran|Israel|Jamaica|" +
  "Japan|Kwajalein|Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo|PRC|PST8PDT|Poland|Portugal|ROC|ROK|Singapore|Turkey|UCT|Universal|" +
  "W-SU|WET|Zulu";
/** Intl forgives case, takes offsets and short names (`+01:00`, `PST`) that the database, and so OPA, does not have. */
const AREAS =
  "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Europe|Indian|Mexico|Pacific|US";
const NAMES = new RegExp(
  `^(?:${ALONE}|Etc/[A-Z][\\w+-]*|Australia/(?:ACT|NSW)|(?:${AREAS})(?:/[A-Z][a-z][\\w-]*)+)$`,
);
/** By its name in lower case: a client may choose the zone, and Intl forgives thousands of spellings of one. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** Seconds east of UTC at a moment. */
function offset(seconds: number, zone: string): number {
  if (zone === "" || zone === "UTC") return 0;
  // What was before 1970 the builds of the database tell differently.
  if (seconds < 0) throw new RangeError("no zone that far back");
  const read: Record<string, number> = {};
  for (const { type, value } of formatOf(zone).formatToParts(seconds * 1000)) read[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = read;
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - seconds;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  if (!NAMES.test(zone)) throw new RangeError("unknown zone");
  const name = zone.toLowerCase();
  const known = formats.get(name);
  if (known) return known;
  const format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formats.set(name, format);
  return format;
}
