import type { UpstreamReply } from "../domain.ts";
import { readTask } from "../protocol/tasks.ts";
import type { Ask } from "./ask.ts";
import type { Rooms } from "./rooms.ts";
import { makerOf, type TaskEntry } from "./task-store.ts";
import type { Allowed } from "./wanted.ts";

/** Remembers whose a call's task is, before its client hears of it. */
export async function keepTask(
  ask: Ask,
  rooms: Rooms,
  { target: { upstream, exposedName: tool }, sent }: Allowed,
  answer: UpstreamReply,
): Promise<void> {
  const { era, method, task: wanted } = ask.message;
  if (method !== "tools/call" || answer.kind === "error" || answer.era !== era) return;
  if (wanted === undefined && !(era === "modern" && /"task"|\\u/.test(answer.text))) return;
  const taskId = readTask(answer.text, era);
  if (taskId === undefined) return;
  const entry: TaskEntry = { era, upstream, tool, arguments: sent, sessionKey: ask.sessionKey };
  await rooms.tasks.keep(makerOf(ask.principalKey, ask.seen.server), taskId, entry);
}
