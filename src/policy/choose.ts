import type { CallDecision, Grant } from "../domain.ts";
import { canonicalJson, type Json, type JsonObject } from "../lib/json.ts";
import type { CompiledSchema, SchemaFailure } from "./schema.ts";
import { type Failure, objectFailures, pointerTo, test, type ValueSet } from "./value-set.ts";
import { phrase } from "./words.ts";

/** A record names this many failures of one call. */
const MAX_REASONS = 10;

/** A grant under all limits, ready to be asked. */
export interface Candidate {
  readonly grant: Grant;
  /** What may be forwarded. */
  readonly forwarded: ValueSet;
  /** Arguments that are added to the caller's; the caller must not send them. Not empty. */
  readonly injected: JsonObject | null;
}

export type Denied = Extract<CallDecision, { effect: "deny" }>;
export type Choice =
  | { readonly ok: true; readonly candidate: Candidate }
  | { readonly ok: false; readonly denied: Denied };

/**
 * The grant that decides: of those whose bounds the arguments meet (and whose injected arguments fit the pinned
 * schema with them) the lowest rank. `candidates` are sorted by rank.
 */
export function choose(candidates: readonly Candidate[], schema: CompiledSchema, args: JsonObject): Choice {
  /** The same for every grant that injects nothing. */
  let plain: SchemaFailure | null | undefined;
  const misfitOf = (candidate: Candidate) => {
    if (candidate.injected !== null) return schema.validate(forwardedArguments(candidate, args));
    if (plain === undefined) plain = schema.validate(args);
    return plain;
  };
  const misfits: (SchemaFailure | null)[] = [];
  const met: Candidate[] = [];
  for (const candidate of candidates) {
    if (met[0] !== undefined && met[0].grant.rank < candidate.grant.rank) break;
    const found = misfitOf(candidate);
    misfits.push(found);
    if (found === null && admits(candidate, args)) met.push(candidate);
  }
  if (met.length === 0) return { ok: false, denied: refusal(candidates, misfits, args) };
  return chooseFrom(met);
}

/** The one of these that decides: the lowest rank, where equals are alike. `met` is sorted by rank. */
export function chooseFrom(met: readonly Candidate[]): Choice {
  const [best, ...others] = met;
  if (best === undefined) {
    const text = "These arguments are outside their bounds (policy).";
    return { ok: false, denied: deny("argument_out_of_bounds", ["no grant admits them"], { text }) };
  }
  const rivals = others.filter(({ grant }) => grant.rank === best.grant.rank);
  if (rivals.length > 0) {
    const like = likeness(best);
    const rival = rivals.find((other) => likeness(other) !== like);
    if (rival !== undefined) return { ok: false, denied: ambiguous(best.grant, rival.grant) };
  }
  return { ok: true, candidate: best };
}

/** The caller's arguments with the grant's own. */
export function forwardedArguments({ injected }: Candidate, args: JsonObject): JsonObject {
  return injected === null ? args : { ...args, ...injected };
}

function admits(candidate: Candidate, args: JsonObject): boolean {
  return (
    sentInjected(candidate, args).length === 0 &&
    test(candidate.forwarded, forwardedArguments(candidate, args)) === null
  );
}

function sentInjected({ injected }: Candidate, args: JsonObject): readonly string[] {
  return injected === null ? [] : Object.keys(injected).filter((name) => Object.hasOwn(args, name));
}

/** Equal grants of one rank may stand for each other; others would let a caller choose by what it sends. */
function likeness({ grant, injected }: Candidate): string {
  const { layer, credential, requires, interaction } = grant;
  return canonicalJson({
    layer: requires.length > 0 || credential !== null ? layer : "",
    credential: credential === null ? null : { ...credential },
    requires: [...new Set(requires)].sort(),
    interaction: [...new Set(interaction)].sort(),
    injected,
  });
}

function ambiguous(a: Grant, b: Grant): Denied {
  const reasons = [`grants of rank ${a.rank} differ: ${quoted(a.reason)} and ${quoted(b.reason)}`];
  return deny("ambiguous_grant", reasons, { grant: null });
}

/** The cold path: says what is wrong, by the schema first, then by the grant that comes closest. */
function refusal(
  candidates: readonly Candidate[],
  misfits: readonly (SchemaFailure | null)[],
  args: JsonObject,
): Denied {
  let misfit: { readonly candidate: Candidate; readonly failure: SchemaFailure } | null = null;
  let closest: { readonly candidate: Candidate; readonly failures: readonly Failure[] } | null = null;
  for (const [at, candidate] of candidates.entries()) {
    const failure = misfits[at] ?? null;
    const failures = failure === null ? failuresOf(candidate, args) : [];
    if (failure !== null) misfit ??= { candidate, failure };
    else if (closest === null || closer(failures, closest.failures)) closest = { candidate, failures };
  }
  if (closest !== null) return outOfBounds(closest.candidate.grant, closest.failures);
  return misfit === null ? deny("not_found", ["no grant"]) : invalid(misfit.candidate, misfit.failure);
}

/** Fewer failures; of as many, the bounds that leave more room: an agent should not be told the smaller of two limits. */
function closer(failures: readonly Failure[], than: readonly Failure[]): boolean {
  if (failures.length !== than.length) return failures.length < than.length;
  const others = byPointer(than);
  for (const [at, one] of byPointer(failures).entries()) {
    const more = moreRoom(one, others[at] as Failure);
    if (more !== 0) return more > 0;
  }
  return false;
}

/** A grant names its arguments in any order. */
function byPointer(failures: readonly Failure[]): readonly Failure[] {
  return [...failures].sort((a, b) => (a.pointer < b.pointer ? -1 : 1));
}

/** How much more one of two broken bounds leaves than the other; 0: as much, or nobody can say. */
function moreRoom(one: Failure, other: Failure): number {
  const [a, b] = [edgeOf(one), edgeOf(other)];
  return one.pointer !== other.pointer || a.of !== b.of ? 0 : a.room - b.room || a.closed - b.closed;
}

function edgeOf({ keyword, value }: Failure) {
  const [, open, side, of] = /^(exclusive)?(min|max)(\w+)$/i.exec(keyword) ?? [];
  const closed = open === undefined ? 1 : 0;
  if (side !== undefined)
    return {
      of: `${side}${of}`.toLowerCase(),
      room: /max/i.test(side) ? Number(value) : -Number(value),
      closed,
    };
  if (keyword === "const" || keyword === "enum")
    return { of: "values", room: Array.isArray(value) && keyword === "enum" ? value.length : 1, closed };
  return { of: keyword, room: 0, closed };
}

function failuresOf(candidate: Candidate, args: JsonObject): readonly Failure[] {
  const sent = sentInjected(candidate, args).map((name) => ({
    pointer: pointerTo(name),
    keyword: "others",
    value: false,
  }));
  return [...sent, ...objectFailures(candidate.forwarded, forwardedArguments(candidate, args))];
}

function outOfBounds(grant: Grant, failures: readonly Failure[]): Denied {
  const [first] = failures;
  const { pointer, keyword, value } = first ?? { pointer: "", keyword: "type", value: "object" as Json };
  return deny(
    "argument_out_of_bounds",
    failures.slice(0, MAX_REASONS).map(({ pointer, keyword }) => `${pointer}: ${keyword}`),
    {
      grant,
      text: `${named(pointer)} must ${phrase(keyword, value)} (policy).`,
      data: { pointer, bound: { [keyword]: value } },
    },
  );
}

function invalid({ grant, injected }: Candidate, { pointer, keyword, message }: SchemaFailure): Denied {
  const own = Object.keys(injected ?? {}).find((name) => `${pointer}/`.startsWith(`${pointerTo(name)}/`));
  // The caller cannot mend what it neither sees nor sends.
  if (own !== undefined)
    return deny("policy_failed", [`the value set for ${own} does not fit the schema: ${keyword}`], { grant });
  return deny("arguments_invalid", [`${pointer}: ${keyword}`], {
    grant: null,
    text: `${named(pointer)} ${message} (schema).`,
    data: { pointer, keyword },
  });
}

/** Where something is wrong, cut: the names in a pointer are the caller's own. */
function named(pointer: string): string {
  if (pointer === "") return "The arguments";
  return pointer.length > 200 ? `${pointer.slice(0, 200)}…` : pointer;
}

export function quoted(text: string): string {
  return JSON.stringify(text);
}

export function deny(
  code: Denied["code"],
  reasons: readonly string[],
  more: Partial<Pick<Denied, "grant" | "text" | "data" | "requirements">> = {},
): Denied {
  return { effect: "deny", code, reasons, grant: null, requirements: {}, ...more };
}
