import type { CallDecision, Capability, Grant, Limit } from "../domain.ts";
import { messageOf } from "../lib/errors.ts";
import { canonicalJson, type Json, type JsonObject } from "../lib/json.ts";
import { boundsSet, injection } from "./bound-set.ts";
import { type Candidate, choose, chooseFrom, deny, forwardedArguments, quoted } from "./choose.ts";
import { type Listing, narrow } from "./narrow.ts";
import { reachable } from "./reachable.ts";
import { ALL_HOLD, type RequirementSource, requirementsOf, settle, type Wanted } from "./requirements.ts";
import type { CompiledSchema } from "./schema.ts";
import { TooCostly, withinSteps } from "./steps.ts";
import { intersect, valueSet } from "./value-algebra.ts";
import { FORBIDDEN, memberOf, TYPE, test, type ValueSet } from "./value-set.ts";

/** A capability opened on one target: what listing and calling both ask. Immutable, so it can be cached. */
export interface OpenCapability {
  /** Nothing denies the target and some grant can still be met. Otherwise every call is `not_found`. */
  readonly listed: boolean;
  /** A denial, or a fault of one, closes the target: it is not merely without a grant. */
  readonly denied: boolean;
  /** Why a grant is unusable or the target closed: for status, `check` and the record, never for the caller. */
  readonly warnings: readonly string[];
  /** Of those, and of what was dropped as malformed, what its author must have meant otherwise. */
  readonly mistakes: readonly string[];
  /** Made when first asked for. Only for a listed target. */
  listing(): Listing;
  /**
   * Decides one call: the pinned schema, then bounds, then the requirements of the chosen grant and of all limits.
   * Never throws. `source.hold` is called at most once, and not at all where nothing is required.
   */
  decide(args: JsonObject, source: RequirementSource): CallDecision;
  /** Whether a call with these arguments is within schema and bounds: allowed, if its requirements hold. */
  admits(args: JsonObject): boolean;
  /** Whether arguments that are not all there yet are each within the bounds of one and the same grant. */
  begins(args: JsonObject): boolean;
  /** Like `decide`, of arguments that are not all there yet: under which grant the next one may be completed. */
  decideBegun(args: JsonObject, next: string, source: RequirementSource): CallDecision;
}

interface Told {
  readonly warnings: string[];
  readonly mistakes: string[];
}

/** All objects: what a grant admits that bounds nothing. */
const ANY_OBJECT = valueSet({ types: TYPE.object });

export function openCapability(capability: Capability, schema: CompiledSchema): OpenCapability {
  const { faults } = capability;
  const told: Told = { warnings: [], mistakes: [...faults] };
  const candidates = capability.denials.length > 0 ? [] : usableWithin(capability, schema, told);
  // A malformed denial is a fault as well.
  const hidden = deny("not_found", [...new Set([...capability.denials, ...faults, ...told.warnings])]);
  const wanted = new Map<Candidate, readonly Wanted[]>();

  function settled(candidate: Candidate, forwarded: JsonObject, source: RequirementSource): CallDecision {
    const needed = wanted.get(candidate) ?? requirementsOf(candidate.grant, capability.limits);
    wanted.set(candidate, needed);
    return allowIfMet(candidate.grant, needed, forwarded, source);
  }

  /** Undefined means deny, and so does a throw. */
  function guarded(args: JsonObject, decide: () => CallDecision): CallDecision {
    try {
      return candidates.length === 0 ? hidden : withFaults(withinSteps(args, decide), faults);
    } catch (thrown) {
      if (thrown instanceof TooCostly) return deny("arguments_too_costly", [thrown.message]);
      return deny("policy_failed", [`deciding threw: ${messageOf(thrown)}`]);
    }
  }

  const decide: OpenCapability["decide"] = (args, source) =>
    guarded(args, () => {
      const choice = choose(candidates, schema, args);
      if (!choice.ok) return choice.denied;
      return settled(choice.candidate, forwardedArguments(choice.candidate, args), source);
    });
  const decideBegun = (args: JsonObject, next: string | null, source: RequirementSource) =>
    guarded(args, () => {
      const begun = candidates.filter((one) => mayBegin(one, args) && (next === null || maySend(one, next)));
      const choice = chooseFrom(begun);
      if (!choice.ok) return choice.denied;
      return settled(choice.candidate, forwardedArguments(choice.candidate, args), source);
    });

  let listing: Listing | null = null;
  return {
    listed: candidates.length > 0,
    denied: capability.denials.length > 0,
    ...told,
    listing() {
      listing ??= listingOf(candidates, schema);
      return listing;
    },
    decide,
    decideBegun,
    admits: (args) => decide(args, ALL_HOLD).effect === "allow",
    begins: (args) => decideBegun(args, null, ALL_HOLD).effect === "allow",
  };
}

/** A grant that was dropped may be the one that was meant: whoever reads the record must see that it is missing. */
function withFaults(decision: CallDecision, faults: readonly string[]): CallDecision {
  return faults.length === 0 ? decision : { ...decision, reasons: [...decision.reasons, ...faults] };
}

function mayBegin(candidate: Candidate, args: JsonObject): boolean {
  return Object.entries(args).every(
    ([name, value]) =>
      maySend(candidate, name) && test(memberOf(candidate.forwarded, name).values, value) === null,
  );
}

function maySend({ forwarded, injected }: Candidate, name: string): boolean {
  if (Object.hasOwn(injected ?? {}, name) || forwarded.declares?.has(name) === false) return false;
  return memberOf(forwarded, name).values.types !== 0;
}

function allowIfMet(
  grant: Grant,
  wanted: readonly Wanted[],
  args: JsonObject,
  source: RequirementSource,
): CallDecision {
  if (wanted.length === 0) return { effect: "allow", grant, arguments: args, requirements: {}, reasons: [] };
  const { requirements, refusal } = settle(wanted, args, source);
  if (refusal === null) return { effect: "allow", grant, arguments: args, requirements, reasons: [] };
  return deny("requirement_not_met", refusal.reasons, {
    grant,
    requirements,
    text: refusal.text,
    data: refusal.data,
  });
}

/** A hostile schema must not cost each principal more than a call may: what cannot be told is closed. */
function usableWithin(capability: Capability, schema: CompiledSchema, told: Told): readonly Candidate[] {
  try {
    return withinSteps(schema.source, () => usable(capability, schema, told));
  } catch (thrown) {
    if (!(thrown instanceof TooCostly)) throw thrown;
    told.warnings.push("telling whether a grant can be met takes too many steps");
    return [];
  }
}

function listingOf(candidates: readonly Candidate[], schema: CompiledSchema): Listing {
  try {
    return withinSteps(schema.source, () =>
      narrow(schema, candidates.map(callerSet), injectedNames(candidates)),
    );
  } catch (thrown) {
    if (!(thrown instanceof TooCostly)) throw thrown;
    return { inputSchema: { type: "object" }, note: "", words: () => "" };
  }
}

/** The grants that arguments can meet, under all limits, by rank; equal ranks in an order that never changes. */
function usable({ grants, limits }: Capability, schema: CompiledSchema, told: Told): readonly Candidate[] {
  const limit = limitsSet(limits, schema, told);
  if (limit === null) return [];
  const found = grants.flatMap((grant) => candidate(grant, limit, limits, schema, told) ?? []);
  return found.length > 1 ? sorted(found) : found;
}

function sorted(candidates: readonly Candidate[]): readonly Candidate[] {
  const keyed = candidates.map((one) => ({ one, key: canonicalJson(one.grant as unknown as Json) }));
  keyed.sort((a, b) => a.one.grant.rank - b.one.grant.rank || (a.key < b.key ? -1 : 1));
  return keyed.map(({ one }) => one);
}

/** What all limits admit; null: one closes the target. */
function limitsSet(limits: readonly Limit[], schema: CompiledSchema, told: Told): ValueSet | null {
  let set = ANY_OBJECT;
  for (const limit of limits) {
    if (!bounds(limit)) continue;
    const undeclared: string[] = [];
    set = intersect(set, boundsSet(limit.arguments, true, schema.outline, undeclared));
    if (undeclared.length === 0 || !limit.mustExist) continue;
    told.warnings.push(`a limit must exist: the target does not declare ${undeclared.join(", ")}`);
    return null;
  }
  return set;
}

function candidate(
  grant: Grant,
  limit: ValueSet,
  limits: readonly Limit[],
  schema: CompiledSchema,
  { warnings, mistakes }: Told,
): Candidate | null {
  const undeclared: string[] = [];
  const own = bounds(grant)
    ? boundsSet(grant.arguments, grant.others, schema.outline, undeclared)
    : ANY_OBJECT;
  const unusable = (why: string, ...lists: string[][]) => {
    for (const list of lists) list.push(`grant ${quoted(grant.reason)} is unusable: ${why}`);
    return null;
  };
  if (undeclared.length > 0)
    return unusable(`the target does not declare ${undeclared.join(", ")}`, warnings, mistakes);
  const forwarded = limit === ANY_OBJECT ? own : intersect(own, limit);
  if (!reachable(schema.source, schema.patterns, schema.source, forwarded))
    return unusable("no arguments can meet it", warnings);
  const injected = [grant, ...limits].flatMap((part) => injection(part.arguments, schema.outline));
  return { grant, forwarded, injected: injected.length === 0 ? null : Object.fromEntries<Json>(injected) };
}

function bounds(part: Grant | Limit): boolean {
  return ("others" in part && !part.others) || Object.keys(part.arguments).length > 0;
}

/** What the caller may send: what may be forwarded, less what is injected. */
function callerSet({ forwarded, injected }: Candidate): ValueSet {
  if (injected === null) return forwarded;
  const members = new Map(forwarded.members);
  for (const name of Object.keys(injected)) members.set(name, FORBIDDEN);
  return { ...forwarded, members };
}

function injectedNames(candidates: readonly Candidate[]): ReadonlySet<string> {
  return new Set(candidates.flatMap(({ injected }) => Object.keys(injected ?? {})));
}
