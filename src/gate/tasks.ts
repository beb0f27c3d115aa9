import type { CallDecision, Grant, Target } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import { membersOf } from "../lib/members.ts";
import { ALL_HOLD } from "../policy/requirements.ts";
import { readInputRequests } from "../protocol/input-required.ts";
import { listResult } from "../protocol/results.ts";
import { taskIdOf } from "../protocol/tasks.ts";
import type { Answer } from "./answer.ts";
import type { Ask } from "./ask.ts";
import { pageOf } from "./cursor.ts";
import { capabilityOf, refusalOf, UNKNOWN } from "./decision.ts";
import { forward } from "./forward.ts";
import { record, recordDecision } from "./records.ts";
import { resumed } from "./resume.ts";
import type { Rooms } from "./rooms.ts";
import { makerOf, toolOf } from "./task-store.ts";

/** tasks/get, result, update and cancel: decided again as the call that became the task, by the policies of now. */
export async function task(ask: Ask, rooms: Rooms): Promise<void> {
  const { name: taskId = "", params } = ask.message;
  const entry = await rooms.tasks.find(makerOf(ask.principalKey, ask.seen.server), taskId);
  const target = entry && toolOf(entry, ask.message.era, rooms.catalog.view(ask.seen.server));
  const args = entry?.arguments ?? {};
  const decision = target === undefined ? UNKNOWN : decideAgain(ask, rooms, target, args);
  const sha256 = digest(args);
  const id = rooms.decisions.newId();
  await recordDecision(rooms, ask.seen, decision, {
    id,
    asked: { upstream: "", kind: "tool", name: "" },
    targets: target === undefined ? [] : [target],
    arguments: args,
    sha256,
    named: taskId,
  });
  if (decision.effect === "deny") return void ask.answer.error(refusalOf(decision, ask, rooms));
  if (entry === undefined || target === undefined) return;
  const { grant } = decision;
  const resume = resumed(ask, rooms, { target, arguments: args }, sha256, grant);
  await forward({ ...ask, sessionKey: entry.sessionKey }, rooms, {
    id,
    target,
    grant,
    params,
    arguments: decision.arguments,
    sent: args,
    sha256,
    resume: resume?.kind === "refused" ? null : resume,
    filter: (result) => asPermitted(result, grant),
  });
}

/** Requirements were conditions of the call, and held then. Answers may be given only where questions may be asked. */
function decideAgain(ask: Ask, rooms: Rooms, target: Target, args: JsonObject): CallDecision {
  const decided = capabilityOf(ask, rooms, target).decide(args, ALL_HOLD);
  const decision = { ...decided, requirements: {} };
  if (decision.effect === "deny" || ask.message.method !== "tasks/update") return decision;
  if (decision.grant.interaction.length > 0) return decision;
  const reasons = ["the grant allows no interaction"];
  return { effect: "deny", code: "interaction_refused", reasons, grant: decision.grant, requirements: {} };
}

/** @throws PortcullisError `interaction_refused` where the task asks what the grant does not let it ask */
function asPermitted(result: string, { interaction }: Grant): string {
  if (!result.includes("inputRequests") && !result.includes("\\u")) return result;
  for (const { kind } of readInputRequests(membersOf(result)).values())
    if (!interaction.includes(kind)) throw new PortcullisError("interaction_refused");
  return result;
}

/** Tasks of one page: each is asked for by itself. */
const MAX_PAGE = 10;

/** tasks/list: the caller's own, each decided again and as its upstream tells of it now. */
export async function listTasks(ask: Ask, rooms: Rooms): Promise<void> {
  const own = await rooms.tasks.all(makerOf(ask.principalKey, ask.seen.server));
  const view = rooms.catalog.view(ask.seen.server);
  const open = [...own].flatMap(([taskId, entry]) => {
    const target = toolOf(entry, ask.message.era, view);
    const decision = target && decideAgain(ask, rooms, target, entry.arguments);
    return decision?.effect === "allow" ? [taskId] : [];
  });
  const sha256 = digest(open);
  const { cursor } = ask.message.params;
  const page = pageOf(open, sha256, cursor, Math.min(MAX_PAGE, rooms.limits.page));
  const counted = { listed: open.length, of: own.size, targets_sha256: sha256 };
  await record(rooms, ask.seen, { effect: "allow", code: "ok", ...counted });
  const told = await Promise.all(page.items.map((taskId) => stateOf(ask, rooms, taskId)));
  const tasks = told.filter((text) => text !== undefined);
  ask.answer.result(listResult("legacy", "tasks", tasks, page.next));
}

/** What its own tasks/get is told, decided and recorded as that; undefined: it is refused, or its upstream cannot say. */
async function stateOf(ask: Ask, rooms: Rooms, taskId: string): Promise<string | undefined> {
  let told: string | undefined;
  const answer: Answer = {
    notify() {},
    request() {},
    result(text) {
      told = text;
      return Buffer.byteLength(text);
    },
    upstreamError: (error) => Buffer.byteLength(error),
    error: () => 0,
  };
  const { progressToken: _, ...asked } = ask.message;
  const message = { ...asked, method: "tasks/get", name: taskId, params: { taskId } } as const;
  await task({ ...ask, message, seen: { ...ask.seen, message }, answer }, rooms);
  return told !== undefined && isOf(told, taskId) ? told : undefined;
}

function isOf(told: string, taskId: string): boolean {
  try {
    return taskIdOf(told) === taskId;
  } catch {
    return false;
  }
}
