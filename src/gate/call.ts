import type { CallDecision, Lease, Target, UpstreamAnswer } from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { digest, isJsonObject, type JsonObject } from "../lib/json.ts";
import { paramHeaders, requireParamHeaders } from "../protocol/param-headers.ts";
import { translateResult } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { decisionEntry } from "./records.ts";
import { refusalOf } from "./refusal.ts";
import type { Rooms } from "./rooms.ts";

type Allowed = Extract<CallDecision, { effect: "allow" }>;

/** tools/call: find, decide, record; then, only if allowed, credential, forward, answer, record. */
export async function call(ask: Ask, rooms: Rooms): Promise<void> {
  const args = argumentsOf(ask.message.params);
  const target = rooms.catalog.view(ask.seen.server).find(String(ask.message.params.name));
  const decision = decide(ask, rooms, target, args);

  const id = rooms.log.newId();
  await rooms.log.decision(id, recordOf(ask, target, args, decision));
  rooms.metrics.decided(ask.seen.server, ask.message.method, decision.effect === "allow" ? "ok" : decision.code, rooms.clock() - ask.seen.startedAt);

  if (decision.effect === "deny" || target === undefined) {
    ask.answer.error(refusalOf(ask, rooms, decision));
    return;
  }
  await forward(ask, rooms, { id, target, decision });
}

function argumentsOf(params: JsonObject): JsonObject {
  const args = params.arguments ?? {};
  if (!isJsonObject(args)) throw new PortcullisError("params_invalid", { reason: "arguments is not an object" });
  return args;
}

function decide(ask: Ask, rooms: Rooms, target: Target | undefined, args: JsonObject): CallDecision {
  if (target === undefined) return unknownTarget;
  const [capability] = rooms.capabilities.of(ask.policy, ask.context, [target]);
  if (capability?.listed && ask.message.era === "modern") requireParamHeaders(target.inputSchema, args, ask.header);
  return (
    capability?.decide(args, (wanted) => ask.policy.requirements(ask.context, target, args, wanted)) ?? unknownTarget
  );
}

const unknownTarget: CallDecision = {
  effect: "deny",
  code: "not_found",
  reasons: ["no such target in the catalog"],
  grant: null,
  requirements: {},
};

function recordOf(ask: Ask, target: Target | undefined, args: JsonObject, decision: CallDecision) {
  return decisionEntry(ask.seen, {
    effect: decision.effect,
    code: decision.effect === "allow" ? "ok" : decision.code,
    target: target
      ? { upstream: target.upstream, kind: target.kind, name: target.name }
      : { upstream: "", kind: "tool", name: String(ask.message.params.name) },
    arguments: args,
    arguments_sha256: digest(args),
    grant: decision.grant,
    requirements: decision.requirements,
    reasons: decision.effect === "allow" ? [decision.grant.reason] : decision.reasons,
  });
}

interface Forwarded {
  readonly id: string;
  readonly target: Target;
  readonly decision: Allowed;
}

async function forward(ask: Ask, rooms: Rooms, forwarded: Forwarded): Promise<void> {
  const { id, target, decision } = forwarded;
  const startedAt = rooms.clock();
  let lease: Lease | null = null;
  let status: PortcullisError["code"] | "ok" = "ok";
  let isError = true;
  let bytes = 0;
  try {
    lease = await rooms.credentials.obtain(decision.grant.credential, ask.identity.principal, {
      decisionId: id,
      upstream: target.upstream,
      server: ask.seen.server,
      revision: ask.policy.revision,
    });
    const answer = await send(ask, rooms, forwarded, lease);
    isError = answer.isError;
    bytes = await reply(ask, rooms, target, answer);
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    status = error.code;
    bytes = ask.answer.error(error);
    if (error.code === "internal") rooms.operations.error({ err: error, decision: id }, "a forwarded call failed");
  } finally {
    const ms = rooms.clock() - startedAt;
    rooms.log.outcome({ phase: "outcome", decision: id, status, is_error: isError, ms, bytes, lease_sha256: lease?.sha256 ?? null });
    rooms.metrics.forwarded(target.upstream, status, ms);
  }
}
