import type { CallDecision, Principal, Target } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest, isJsonObject, type JsonObject } from "../lib/json.ts";
import { requireParamHeaders } from "../protocol/headers.ts";
import type { Ask } from "./ask.ts";
import { forward } from "./forward.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** tools/call: find, decide, record; forward only what was allowed and is on disk. */
export async function call(ask: Ask, rooms: Rooms): Promise<void> {
  const { name = "", params } = ask.message;
  const args = argumentsOf(params);
  const target = rooms.catalog.view(ask.seen.server).find(name);
  const decision = target === undefined ? UNKNOWN : decide(ask, rooms, target, args);

  const id = rooms.log.newId();
  const asked = target ?? { upstream: "", kind: "tool", name };
  await record(
    rooms,
    ask.seen,
    {
      effect: decision.effect,
      code: decision.effect === "allow" ? "ok" : decision.code,
      target: { upstream: asked.upstream, kind: asked.kind, name: asked.name },
      ...(target && { target_sha256: target.digest }),
      arguments: args,
      arguments_sha256: digest(args),
      grant: decision.grant,
      requirements: decision.requirements,
      reasons: decision.effect === "allow" ? [] : decision.reasons,
    },
    id,
  );

  if (decision.effect === "deny" || target === undefined) ask.answer.error(refusalOf(decision, ask, rooms));
  else await forward(ask, rooms, { id, target, grant: decision.grant, arguments: decision.arguments });
}

function argumentsOf({ arguments: args = {} }: JsonObject): JsonObject {
  if (!isJsonObject(args))
    throw new PortcullisError("params_invalid", { reason: "arguments is not an object" });
  return args;
}

/** Unknown and hidden get the same answer in the same words; the record alone tells them apart. */
const UNKNOWN: CallDecision = {
  effect: "deny",
  code: "not_found",
  reasons: ["no such target in the catalog"],
  grant: null,
  requirements: {},
};

function decide(ask: Ask, rooms: Rooms, target: Target, args: JsonObject): CallDecision {
  const { policy, context } = ask;
  const [capability] = rooms.capabilities.of(policy, context, [target]);
  if (capability === undefined) return UNKNOWN;
  // Only a target that this principal can see may show what headers it needs.
  if (capability.listed && ask.message.era === "modern") {
    requireParamHeaders(target.paramHeaders ?? [], args, ask.header);
  }
  const decision = capability.decide(args, policy.requirements(context, target));
  return asShortfall(decision, context.principal);
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
function refusalOf(decision: CallDecision, ask: Ask, rooms: Rooms): PortcullisError {
  if (decision.effect === "allow")
    return new PortcullisError("internal", { reason: "allowed without a target" });
  const { code, text, data } = decision;
  const told = { ...(text !== undefined && { text }), ...(data !== undefined && { data }) };
  if (code !== "insufficient_scope") return new PortcullisError(code, told);
  const scopes = [...ask.identity.principal.scopes, scopeOf(decision) ?? ""];
  const problem = { error: "insufficient_scope", description: text ?? "", scopes } as const;
  const challenge = rooms.identity.challenge(ask.seen.server, problem);
  return new PortcullisError(code, { ...told, headers: { "WWW-Authenticate": challenge } });
}

function scopeOf({ data }: Extract<CallDecision, { effect: "deny" }>): string | undefined {
  const requirement = data?.requirement;
  const stepUp = isJsonObject(requirement) ? requirement.step_up : undefined;
  return isJsonObject(stepUp) && typeof stepUp.scope === "string" ? stepUp.scope : undefined;
}
