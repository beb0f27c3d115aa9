const SECOND = 1_000_000_000n;

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Nanoseconds since the epoch, read as Go's `time.RFC3339` is. @throws RangeError */
export function parseRfc3339(text: string): bigint {
  const match = RFC3339.exec(text);
  if (!match) throw new RangeError("not a time of RFC 3339");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  const isDay = local.getUTCMonth() === month - 1 && local.getUTCDate() === day;
  const [sign, offsetHours, offsetMinutes] = [
    match[8] === "-" ? -1 : 1,
    Number(match[9] ?? 0),
    Number(match[10] ?? 0),
  ];
  if (!isDay || hour > 23 || minute > 59 || second > 59 || offsetHours > 24 || offsetMinutes > 60) {
    throw new RangeError("no such time");
  }
  local.setUTCHours(hour, minute, second);
  const seconds = local.getTime() / 1000 - sign * (offsetHours * 3600 + offsetMinutes * 60);
  return BigInt(seconds) * SECOND + BigInt((match[7] ?? "").slice(0, 9).padEnd(9, "0"));
}

const INT64 = 1n << 63n;
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
/** OPA's own units, in hours. */
const LONG_UNITS: Readonly<Record<string, number>> = { d: 24, w: 7 * 24, y: 365 * 24 };

const PART = /(\d+\.?\d*|\.\d+)([a-z\u00b5\u03bc]+)/g;

/** Nanoseconds of a Go duration (`1h30m`, `-1.5s`), also in days, weeks or years (`1d12h`). @throws RangeError */
export function parseDuration(text: string): bigint {
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return 0n;
  const parts = [...body.matchAll(PART)];
  if (body === "" || parts.map(([part]) => part).join("") !== body) throw new RangeError("not a duration");
  const total = parts
    .map(([, digits = "", unit = ""]) => nanoseconds(digits, unit))
    .reduce((sum, ns) => sum + ns);
  return text.startsWith("-") ? -total : total;
}

/** The fraction is taken in floating point and cut, as Go does it, so that both give the same last digit. */
function nanoseconds(digits: string, unit: string): bigint {
  const hours = LONG_UNITS[unit];
  if (hours !== undefined) return nanoseconds(`${Number(digits) * hours}`, "h");
  const size = UNITS[unit];
  const [, whole, fraction] = /^(\d{0,19})(?:\.(\d*))?$/.exec(digits) ?? [];
  if (size === undefined || whole === undefined) throw new RangeError("not a duration");
  const leading = (fraction ?? "").slice(0, BigInt((fraction ?? "").slice(0, 19) || "0") > INT64 ? 18 : 19);
  const rest = Math.floor(Number(leading) * (size / 10 ** leading.length));
  return BigInt(whole || "0") * BigInt(size) + BigInt(rest);
}
