import type { CallDecision, Target, UpstreamReply } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest } from "../lib/json.ts";
import { elementsOf, membersOf } from "../lib/members.ts";
import { ALL_HOLD } from "../policy/requirements.ts";
import { readInputRequests } from "../protocol/input-required.ts";
import { readTask } from "../protocol/tasks.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf, idOf, refusalOf, UNKNOWN } from "./decision.ts";
import { upstreamOf } from "./exchange.ts";
import { type Allowed, forward } from "./forward.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import type { TaskEntry } from "./task-store.ts";

/**
 * tasks/get, result, update and cancel: decided again as the call that became the task, by the policies of now. Its
 * requirements were conditions of the call, and held then.
 */
export async function task(ask: Ask, rooms: Rooms): Promise<void> {
  const { name: taskId = "", params } = ask.message;
  const entry = await rooms.tasks.find(ask.principalKey, taskId);
  const target = entry && rooms.catalog.view(ask.seen.server).find(entry.kind, entry.exposedName);
  const args = entry?.arguments ?? {};
  const decision: CallDecision =
    entry === undefined || target === undefined
      ? UNKNOWN
      : interacting(ask, capabilityOf(ask, rooms, target).decide(args, ALL_HOLD));

  const id = rooms.log.newId();
  const sha256 = digest(args);
  await record(
    rooms,
    ask.seen,
    {
      effect: decision.effect,
      code: decision.effect === "allow" ? "ok" : decision.code,
      target: idOf(target ?? { upstream: "", kind: "tool", name: "" }),
      ...(target && { target_sha256: target.digest }),
      arguments: args,
      arguments_sha256: sha256,
      grant: decision.grant,
      reasons: decision.effect === "allow" ? [] : decision.reasons,
    },
    id,
  );

  if (decision.effect === "deny") return void ask.answer.error(refusalOf(decision, ask, rooms));
  if (entry === undefined || target === undefined) return;
  const { grant } = decision;
  const filter = (result: string) => asPermitted(result, grant.interaction);
  const shared = {
    id,
    target,
    grant,
    params,
    arguments: decision.arguments,
    sent: args,
    sha256,
    resume: null,
    filter,
  };
  await forward({ ...ask, owner: entry.owner }, rooms, shared);
}

/** Answers may be given only where questions may be asked. */
function interacting(ask: Ask, decision: CallDecision): CallDecision {
  if (decision.effect === "deny" || ask.message.method !== "tasks/update") return decision;
  if (decision.grant.interaction.length > 0) return decision;
  const reasons = ["the grant allows no interaction"];
  return { effect: "deny", code: "interaction_refused", reasons, grant: decision.grant, requirements: {} };
}

/** @throws PortcullisError `interaction_refused` where the task asks what the grant does not let it ask */
function asPermitted(result: string, interaction: readonly string[]): string {
  if (!result.includes("inputRequests") && !result.includes("\\u")) return result;
  for (const { kind } of readInputRequests(membersOf(result)).values())
    if (!interaction.includes(kind)) throw new PortcullisError("interaction_refused");
  return result;
}

/** tasks/list: the caller's own, as their upstreams tell of them. */
export async function listTasks(ask: Ask, rooms: Rooms): Promise<void> {
  const own = await rooms.tasks.all(ask.principalKey);
  const sha256 = digest([...own.keys()].sort());
  await record(rooms, ask.seen, {
    effect: "allow",
    code: "ok",
    listed: own.size,
    of: own.size,
    targets_sha256: sha256,
  });
  const places = new Map(
    [...own.values()].map((entry) => [JSON.stringify([entry.upstream, entry.owner]), entry]),
  );
  const lists = await Promise.all([...places.values()].map((entry) => tasksAt(ask, rooms, entry)));
  const tasks = lists
    .flat()
    .filter((text) => own.has(String(JSON.parse(membersOf(text).get("taskId") ?? '""'))));
  ask.answer.result(`{"tasks":[${tasks.join(",")}]}`);
}

/** One that cannot be asked now is left out: its tasks are still there for `tasks/get`. */
async function tasksAt(ask: Ask, rooms: Rooms, { upstream, owner }: TaskEntry): Promise<readonly string[]> {
  try {
    const { kind, text } = await upstreamOf(rooms, upstream).request({
      method: "tasks/list",
      params: {},
      owner,
      clientInfo: ask.clientInfo,
      clientCapabilities: ask.clientCapabilities,
      decisionId: "",
      credential: new Map(),
      who: ask.who,
      signal: ask.signal,
      timeoutMs: rooms.timeoutOf(upstream),
    });
    return kind === "error" ? [] : elementsOf(membersOf(text).get("tasks") ?? "[]");
  } catch {
    return [];
  }
}

/** Remembers whose a call's task is, before its client hears of it. */
export async function keepTask(
  ask: Ask,
  rooms: Rooms,
  allowed: Allowed,
  answer: UpstreamReply,
): Promise<void> {
  const { era, method, task: wanted } = ask.message;
  if (method !== "tools/call" || answer.kind === "error" || answer.era !== era) return;
  if (wanted === undefined && !(era === "modern" && /"task"|\\u/.test(answer.text))) return;
  const taskId = readTask(answer.text, era);
  if (taskId === undefined) return;
  await rooms.tasks.keep(ask.principalKey, taskId, entryOf(ask, allowed.target, allowed));
}

function entryOf(ask: Ask, { upstream, exposedName }: Target, { sent }: Allowed): TaskEntry {
  return { upstream, kind: "tool", exposedName, arguments: sent, owner: ask.owner };
}
