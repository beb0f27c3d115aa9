import type { Bounds, CredentialChoice, Grant, Layer, Limit } from "../domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { boundsFault, flag } from "./bounds.ts";

const DEFAULT_RANK = 100;
/** Answers to an upstream's questions that a grant may let through. */
const INTERACTIONS = ["elicitation", "sampling", "roots"];

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: string };

type Check = (value: Json, at: string) => string | null;

const GRANT: Readonly<Record<string, Check>> = {
  reason: text,
  rank: (value, at) => (Number.isSafeInteger(value) ? null : `${at} must be an integer`),
  arguments: boundsFault,
  others: flag,
  requires: names,
  credential: (value, at) => objectFault(value, at, CREDENTIAL, ["source"]),
  interaction: (value, at) =>
    Array.isArray(value) && value.every((kind) => INTERACTIONS.includes(kind))
      ? null
      : `${at} must be an array of ${INTERACTIONS.join(", ")}`,
};

const CREDENTIAL: Readonly<Record<string, Check>> = {
  source: text,
  role: text,
  ttl: (value, at) =>
    Number.isSafeInteger(value) && Number(value) > 0 ? null : `${at} must be whole seconds over 0`,
};

const LIMIT: Readonly<Record<string, Check>> = { arguments: boundsFault, requires: names, must_exist: flag };

/**
 * One element of policy's `grant`: `{reason, rank?, arguments?, others?, requires?, credential?, interaction?}`.
 * Any other key is a fault: an obligation that this version does not know must not be granted without it.
 */
export function parseGrant(value: Json, layer: Layer): Parsed<Grant> {
  const fault = objectFault(value, "grant", GRANT, ["reason"]);
  if (fault !== null) return { ok: false, fault };
  const said = value as JsonObject;
  return {
    ok: true,
    value: Object.freeze({
      layer,
      reason: own(said, "reason", ""),
      rank: own(said, "rank", DEFAULT_RANK),
      arguments: own<Bounds>(said, "arguments", {}),
      others: own(said, "others", true),
      requires: own<readonly string[]>(said, "requires", []),
      credential: own<CredentialChoice | null>(said, "credential", null),
      interaction: own<readonly string[]>(said, "interaction", []),
    }),
  };
}

/** One element of policy's `limit`: `{arguments?, requires?, must_exist?}`. */
export function parseLimit(value: Json, layer: Layer): Parsed<Limit> {
  const fault = objectFault(value, "limit", LIMIT, []);
  if (fault !== null) return { ok: false, fault };
  const said = value as JsonObject;
  return {
    ok: true,
    value: {
      layer,
      arguments: own<Bounds>(said, "arguments", {}),
      requires: own<readonly string[]>(said, "requires", []),
      mustExist: own(said, "must_exist", false),
    },
  };
}

function objectFault(
  value: Json,
  at: string,
  checks: Readonly<Record<string, Check>>,
  needed: readonly string[],
): string | null {
  if (!isJsonObject(value)) return `${at} must be an object`;
  const missing = needed.find((key) => !Object.hasOwn(value, key));
  if (missing !== undefined) return `${at}.${missing} is missing`;
  for (const key of Object.keys(value)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
    const fault = check
      ? check(value[key] as Json, `${at}.${key}`)
      : `${at}.${key} is not known to this version`;
    if (fault !== null) return fault;
  }
  return null;
}

/** A member that was checked above, or what stands for its absence. */
function own<T>(said: JsonObject, key: string, absent: T): T {
  return Object.hasOwn(said, key) ? (said[key] as T) : absent;
}

function text(value: Json, at: string): string | null {
  return typeof value === "string" && value !== "" ? null : `${at} must be a text`;
}

function names(value: Json, at: string): string | null {
  return Array.isArray(value) &&
    value.every((name) => typeof name === "string" && /^[\w.-]{1,128}$/.test(name))
    ? null
    : `${at} must be an array of requirement names`;
}
