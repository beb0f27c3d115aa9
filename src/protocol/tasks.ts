import type { Era } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { membersOf, scalarIn } from "../lib/members.ts";
import { resultTypeOf } from "./results.ts";

/** The extension that tasks are in the modern era (SEP-2663). */
export const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";

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

function idIn(members: ReadonlyMap<string, string>): string {
  const id = scalarIn(members.get("taskId"));
  if (typeof id !== "string" || id === "" || id.length > MAX_ID)
    throw new PortcullisError("upstream_protocol", { reason: "a task has no id" });
  return id;
}
