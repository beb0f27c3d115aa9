import type { CallDecision, Grant, Principal, Target } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { canonicalJson, isJsonObject, type JsonObject } from "../lib/json.ts";
import type { OpenCapability } from "../policy/capability.ts";
import type { RequirementSource } from "../policy/requirements.ts";
import type { Ask } from "./ask.ts";
import type { Rooms } from "./rooms.ts";

/** A target that a request names, with the arguments that it names it with. */
export interface Match {
  readonly target: Target;
  readonly arguments: JsonObject;
}

export type Denied = Extract<CallDecision, { effect: "deny" }>;

/** Unknown and hidden get the same answer in the same words; the record alone tells them apart. */
export const UNKNOWN: Denied = {
  effect: "deny",
  code: "not_found",
  reasons: ["no such target in the catalog"],
  grant: null,
  requirements: {},
};

/** What this principal may do with a target, now. */
export function capabilityOf(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  target: Target,
): OpenCapability {
  const [capability] = rooms.capabilities.of(ask.policy, ask.context, [target]);
  if (capability === undefined) throw new PortcullisError("policy_failed", { reason: "no capability" });
  return capability;
}

/** What a decision is made from. */
export type Deciding = Pick<Ask, "policy" | "context">;

/**
 * Decides one request under everything that it matches: a tool is one match, a resource's URI may be several, and each
 * must allow it. `onVisible` runs once none of them is hidden.
 */
export function decide(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  matches: readonly Match[],
  onVisible?: () => void,
): CallDecision {
  const requirements = (target: Target) => ask.policy.requirements(ask.context, target);
  return decideUnder(ask, rooms, matches, requirements, onVisible);
}

/** The same, with requirements from elsewhere. */
export function decideUnder(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  matches: readonly Match[],
  requirements: (target: Target) => RequirementSource,
  onVisible: () => void = () => {},
): CallDecision {
  const opened = matches.map(({ target, arguments: args }) => ({
    target,
    arguments: args,
    open: capabilityOf(ask, rooms, target),
  }));
  const [first] = opened;
  if (first === undefined) return UNKNOWN;
  const hidden = opened.find(({ open }) => !open.listed);
  if (hidden === undefined) onVisible();
  const asked = hidden === undefined ? opened : [hidden];
  const decided = asked.map(({ open, target, arguments: args }) =>
    asShortfall(open.decide(args, requirements(target)), ask.context.principal),
  );
  const together = decided.reduce(both);
  if (together.effect === "deny" || decided.length === 1) return together;
  // One of them would be sent other values than the rest were asked about.
  const sets = decided.some((one, at) => one.effect === "allow" && one.arguments !== asked[at]?.arguments);
  return sets ? ambiguous("one of its targets sets a value") : together;
}

/** Both must allow it. They may not name two credentials: the caller's spelling of a URI would choose between them. */
function both(one: CallDecision, other: CallDecision): CallDecision {
  if (one.effect === "deny") return one;
  if (other.effect === "deny") return other;
  if (credentialOf(one.grant) !== credentialOf(other.grant))
    return ambiguous("its targets name different credentials");
  const interaction = one.grant.interaction.filter((kind) => other.grant.interaction.includes(kind));
  return {
    ...one,
    grant: { ...one.grant, interaction },
    requirements: { ...other.requirements, ...one.requirements },
    reasons: [...one.reasons, ...other.reasons],
  };
}

function ambiguous(reason: string): Denied {
  return { effect: "deny", code: "ambiguous_grant", reasons: [reason], grant: null, requirements: {} };
}

function credentialOf({ layer, credential }: Grant): string {
  return credential === null ? "" : canonicalJson({ layer, credential: { ...credential } });
}

/** A requirement that a scope would meet is a shortfall of scope, in the record and for the caller alike. */
function asShortfall(decision: CallDecision, { scopes }: Principal): CallDecision {
  if (decision.effect === "allow") return decision;
  const scope = scopeOf(decision);
  return scope === undefined || scopes.includes(scope)
    ? decision
    : { ...decision, code: "insufficient_scope" };
}

/** What the caller hears. A missing scope is a challenge, so that its OAuth client can step up (RFC 6750 section 3.1). */
export function refusalOf(decision: Denied, ask: Ask, rooms: Pick<Rooms, "identity">): PortcullisError {
  const { code, text, data } = decision;
  const told = { ...(text !== undefined && { text }), ...(data !== undefined && { data }) };
  if (code !== "insufficient_scope") return new PortcullisError(code, told);
  const scopes = [...ask.identity.principal.scopes, scopeOf(decision) ?? ""];
  const problem = { error: "insufficient_scope", description: text ?? "", scopes } as const;
  const challenge = rooms.identity.challenge(ask.seen.server, problem);
  return new PortcullisError(code, { ...told, headers: { "WWW-Authenticate": challenge } });
}

function scopeOf({ data }: Denied): string | undefined {
  const requirement = data?.requirement;
  const stepUp = isJsonObject(requirement) ? requirement.step_up : undefined;
  return isJsonObject(stepUp) && typeof stepUp.scope === "string" ? stepUp.scope : undefined;
}
