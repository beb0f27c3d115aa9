import { canonicalJson, isJsonObject, type Json } from "../lib/json.ts";
import type { GoldenWant } from "./case.ts";

/** What the gate did with a case's request. */
export interface GoldenResult {
  /** The decision's record, less what the log adds. */
  readonly record: { readonly [key: string]: Json };
  /** Exposed names, of a list. */
  readonly listed: readonly string[];
  /** What the upstream got, or null. */
  readonly forwarded: Json;
  /** How forwarding went: "ok", "" where nothing was forwarded, or why it failed. */
  readonly outcome: string;
}

export interface Difference {
  readonly at: string;
  readonly wanted: Json;
  readonly got: Json;
}

/** Where a result is not what was wanted; none: the case passes. */
export function compare(
  want: GoldenWant,
  { record, listed, forwarded, outcome }: GoldenResult,
): Difference[] {
  const grant = isJsonObject(record.grant) ? (record.grant.reason ?? null) : null;
  const found = [
    ...whole("effect", want.effect, record.effect),
    ...whole("code", want.code, record.code),
    ...whole("grant", want.grant, grant),
  ];
  if (want.listed !== undefined) found.push(...names([...want.listed].sort(), [...listed].sort()));
  if (want.forwarded !== undefined) found.push(...whole("forwarded", want.forwarded, forwarded));
  if (want.record !== undefined) found.push(...members("record", want.record, record));
  if (want.effect === "allow" && outcome !== "" && outcome !== "ok")
    found.push({ at: "forwarding", wanted: "ok", got: outcome });
  return found;
}

function names(wanted: readonly string[], got: readonly string[]): Difference[] {
  const missing = wanted.filter((name) => !got.includes(name));
  const more = got.filter((name) => !wanted.includes(name));
  return missing.length + more.length === 0 ? [] : [{ at: "listed", wanted: missing, got: more }];
}

function members(at: string, wanted: Json, got: Json | undefined): Difference[] {
  if (!isJsonObject(wanted) || !isJsonObject(got)) return whole(at, wanted, got);
  return Object.entries(wanted).flatMap(([key, value]) =>
    members(`${at}.${key}`, value, Object.hasOwn(got, key) ? got[key] : undefined),
  );
}

function whole(at: string, wanted: Json, got: Json | undefined): Difference[] {
  const same = got !== undefined && canonicalJson(wanted) === canonicalJson(got);
  return same ? [] : [{ at, wanted, got: got ?? null }];
}
