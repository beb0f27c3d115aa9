import { performance } from "node:perf_hooks";
import type { Grant, Lease, Target, UpstreamReply } from "../domain.ts";
import { type ErrorCode, PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { paramHeaders } from "../lib/param-headers.ts";
import { translateResult } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { describe } from "./description.ts";
import type { Rooms } from "./rooms.ts";

/** An allowed call whose decision is on disk. */
export interface Allowed {
  /** Of the decision's record. */
  readonly id: string;
  readonly target: Target;
  readonly grant: Grant;
  /** What the upstream is sent. */
  readonly arguments: JsonObject;
}

/** Credential, upstream, answer; and the outcome's record, whatever happened. */
export async function forward(ask: Ask, rooms: Rooms, allowed: Allowed): Promise<void> {
  const startedAt = performance.now();
  let lease: Lease | undefined;
  let ended: { status: ErrorCode | "ok"; isError: boolean; bytes: number };
  try {
    lease = await obtain(ask, rooms, allowed);
    const answer = await send(ask, rooms, allowed, lease);
    ended = { status: "ok", isError: answer.isError, bytes: reply(ask, rooms, answer) };
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    // Revoked early: the next call gets another.
    if (error.code === "credential_rejected") await lease?.revoke();
    if (error.code === "internal")
      rooms.operations.error({ err: error, decision: allowed.id }, "forwarding failed");
    ended = { status: error.code, isError: true, bytes: ask.answer.error(error) };
  }
  const ms = performance.now() - startedAt;
  rooms.log.outcome({
    phase: "outcome",
    decision: allowed.id,
    status: ended.status,
    is_error: ended.isError,
    ms: Math.round(ms * 1000) / 1000,
    bytes: ended.bytes,
    lease_sha256: lease?.sha256 ?? null,
  });
  rooms.metrics.forwarded(allowed.target.upstream, ended.status, ms / 1000);
}

function obtain(ask: Ask, rooms: Rooms, { id, target, grant }: Allowed): Promise<Lease> {
  return rooms.credentials.obtain(grant.credential, ask.identity.principal, {
    decisionId: id,
    upstream: target.upstream,
    server: ask.seen.server,
    revision: ask.policy.revision,
  });
}

function send(ask: Ask, rooms: Rooms, allowed: Allowed, lease: Lease): Promise<UpstreamReply> {
  const { id, target, arguments: args } = allowed;
  const { method, params, progressToken } = ask.message;
  return upstreamOf(rooms, target).request({
    method,
    params: { ...params, name: target.name, arguments: args },
    owner: ask.owner,
    clientInfo: ask.clientInfo,
    decisionId: id,
    credential: lease.headers,
    signal: ask.signal,
    timeoutMs: rooms.timeoutOf(target.upstream),
    ...(progressToken !== undefined && { progressToken }),
    ...(target.paramHeaders?.length && { paramHeaders: paramHeaders(target.paramHeaders, args) }),
    onNotification: ask.answer.notify,
  });
}

function reply(ask: Ask, rooms: Rooms, answer: UpstreamReply): number {
  if (answer.kind === "error") return ask.answer.upstreamError(answer.text);
  const { era } = ask.message;
  const serverInfo = answer.era === era ? undefined : describe(rooms, ask.seen.server).serverInfo;
  return ask.answer.result(translateResult(answer.text, answer.era, era, serverInfo));
}

function upstreamOf(rooms: Rooms, { upstream }: Target) {
  const found = rooms.upstreams.get(upstream);
  if (found === undefined)
    throw new PortcullisError("upstream_unavailable", { reason: `no upstream ${upstream}` });
  return found;
}
