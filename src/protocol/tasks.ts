import type { Era } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import { resultTypeOf } from "./results.ts";

/** The extension that tasks are in the modern era (SEP-2663). */
export const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";
/** Where a legacy message says which task it belongs to. */
export const RELATED_TASK = "io.modelcontextprotocol/related-task";

const MAX_ID = 1024;

/**
 * The id of the task that a call became; undefined where it was answered at once. Legacy: within `task`
 * (MCP 2025-11-25, Tasks); modern: beside `"resultType": "task"` (SEP-2663).
 *
 * @throws PortcullisError `upstream_protocol` for a task without an id
 */
export function readTask(result: string, era: Era): string | undefined {
  const members = membersOf(result);
  if (era === "modern") return resultTypeOf(members) === "task" ? idIn(members) : undefined;
  const task = members.get("task");
  // A tool's own result may have any member: what makes it a task is that it has no content.
  return task === undefined || members.has("content") ? undefined : idIn(membersOf(task));
}

/** The id that a message about a task has at its top: results of `tasks/*`, params of their notifications. */
export function taskIdOf(message: string): string {
  return idIn(membersOf(message));
}

/** A result that became a task, under another id. */
export function renameTask(result: string, era: Era, taskId: string): string {
  if (era === "modern") return withTaskId(result, taskId);
  const members = membersOf(result);
  return joinMembers(members.set("task", withTaskId(members.get("task") ?? "{}", taskId)));
}

/** The same message about a task, under another id, also where `_meta` relates it to one. */
export function withTaskId(message: string, taskId: string): string {
  const members = membersOf(message);
  if (members.has("taskId")) members.set("taskId", JSON.stringify(taskId));
  const meta = members.get("_meta");
  const metas = meta === undefined ? undefined : membersOf(meta);
  if (metas?.has(RELATED_TASK))
    members.set("_meta", joinMembers(metas.set(RELATED_TASK, JSON.stringify({ taskId }))));
  return joinMembers(members);
}

function idIn(members: ReadonlyMap<string, string>): string {
  const id: unknown = JSON.parse(members.get("taskId") ?? "null");
  if (typeof id !== "string" || id === "" || id.length > MAX_ID)
    throw new PortcullisError("upstream_protocol", { reason: "a task has no id" });
  return id;
}
