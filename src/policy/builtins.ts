import { addDate, calendar, type Instant, weekdayOf } from "./calendar.ts";
import { cidrContains, cidrIntersects } from "./cidr.ts";
import { parseDuration, parseRfc3339 } from "./time-text.ts";
import {
  base64Decoded,
  base64UrlDecoded,
  formattedInteger,
  integerOf,
  isBase64,
  numberOf,
  unmarshalled,
} from "./value-text.ts";

/**
 * A builtin that the module leaves to its host. It takes and gives JSON texts, because times in nanoseconds are
 * beyond 2^53, where JSON.parse would round them. undefined, or a throw: the call is undefined, as Rego has it.
 *
 * @param now seconds since the epoch, the same for all evaluations of a decision: no builtin reads the system clock
 */
type Builtin = (args: readonly string[], now: number) => string | undefined;

const SECOND = 1_000_000_000n;
const INT64 = 1n << 63n;
const DIGITS = /^-?\d+$/;

/**
 * All that a compiled policy may ask of this host, by OPA's names; everything else is code of its own. Besides the clock
 * it is what the module has and gets wrong: it takes `10.0.0.0/8/9` for a network, `[1 2]` for JSON.
 */
export const HOST_BUILTINS: Readonly<Record<string, Builtin>> = {
  "base64.decode": ([text]) => JSON.stringify(base64Decoded(parsedText(text))),
  "base64.is_valid": ([text]) => String(isBase64(parsed(text))),
  "base64url.decode": ([text]) => JSON.stringify(base64UrlDecoded(parsedText(text))),
  format_int: ([number = "", radix = ""]) => JSON.stringify(formattedInteger(number, radix)),
  "json.is_valid": ([text]) => String(isJson(parsed(text))),
  "json.unmarshal": ([text]) => unmarshalled(parsedText(text)),
  "net.cidr_contains": ([outer, inner]) => String(cidrContains(parsedText(outer), parsedText(inner))),
  "net.cidr_intersects": ([a, b]) => String(cidrIntersects(parsedText(a), parsedText(b))),
  to_number: ([value = ""]) => numberOf(value),
  "time.now_ns": (_args, now) => `${BigInt(Math.floor(now)) * SECOND}`,
  "time.parse_rfc3339_ns": ([text]) => int64(parseRfc3339(parsedText(text))),
  "time.parse_duration_ns": ([text]) => int64(parseDuration(parsedText(text))),
  "time.date": ([when]) => {
    const { year, month, day } = calendar(instant(when));
    return JSON.stringify([year, month, day]);
  },
  "time.clock": ([when]) => {
    const { hour, minute, second } = calendar(instant(when));
    return JSON.stringify([hour, minute, second]);
  },
  "time.weekday": ([when]) => JSON.stringify(weekdayOf(instant(when))),
  "time.add_date": ([when, years, months, days]) =>
    int64(addDate(instant(when), integer(years), integer(months), integer(days))),
};

function parsed(json: string | undefined): unknown {
  return JSON.parse(json ?? "");
}

function parsedText(json: string | undefined): string {
  const value = parsed(json);
  if (typeof value !== "string") throw new TypeError("a text is expected");
  return value;
}

function isJson(text: unknown): boolean {
  try {
    return typeof text === "string" && parsed(text) !== undefined;
  } catch {
    return false;
  }
}

/** Nanoseconds since the epoch, or `[nanoseconds, zone, layout]`, the last two optional. */
function instant(json = ""): Instant {
  const whole = /^\[\s*([^\s,\]]+)\s*[,\]]/.exec(json);
  const [, zone = "UTC", layout = ""] = whole ? (parsed(json) as unknown[]) : [];
  if (typeof zone !== "string" || typeof layout !== "string") throw new TypeError("a zone is a text");
  const ns = exactInteger(whole?.[1] ?? json);
  return { seconds: Number(floorDiv(ns, SECOND)), nanos: Number(ns - floorDiv(ns, SECOND) * SECOND), zone };
}

/** However it is written: what the module computes may end in `.0`. @throws when it is no integer of 64 bits */
function exactInteger(json: string): bigint {
  const { integer, exact } = integerOf(json);
  if (!exact || integer < -INT64 || integer >= INT64) throw new RangeError("not an integer of 64 bits");
  return integer;
}

/** OPA takes `100` and `100.0` for a count of days, but not `1e2`. */
function integer(json = ""): number {
  const digits = json.replace(/\.0+$/, "");
  const value = Number(digits);
  if (!DIGITS.test(digits) || !Number.isSafeInteger(value)) throw new TypeError("a whole number is expected");
  return value;
}

function int64(ns: bigint): string {
  return `${exactInteger(`${ns}`)}`;
}

function floorDiv(a: bigint, b: bigint): bigint {
  return a / b - (a % b < 0n ? 1n : 0n);
}
