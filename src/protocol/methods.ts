import type { Era, TargetKind } from "../domain.ts";
import type { Shape } from "./shapes.ts";

export type Action =
  | "session"
  | "list"
  | "call"
  | "read"
  | "get"
  | "complete"
  | "subscribe"
  | "level"
  | "listen"
  | "task"
  | "cancel"
  | "none";

/** One method that clients may send. */
export interface MethodRow {
  readonly eras: readonly Era[];
  readonly kind: "request" | "notification";
  /** What the request names, and the member of params that names it (`Mcp-Name` mirrors it). */
  readonly names?: { readonly kind: TargetKind | "task"; readonly member: string };
  readonly params?: Readonly<Record<string, Shape>>;
  /** A modern request of this method may bring the answers to what an earlier one was asked (MRTR). */
  readonly resumable?: true;
  /** A legacy request of this method may ask to be answered by a task. */
  readonly taskable?: true;
  /** For people: what the gate does with it, what is not passed on as it came, and what the decision's record holds. */
  readonly action: Action;
  readonly rewritten: string;
  readonly recorded: string;
}

const BOTH: readonly Era[] = ["legacy", "modern"];
const LEGACY: readonly Era[] = ["legacy"];
const MODERN: readonly Era[] = ["modern"];

const request = { kind: "request" } as const;
const notification = { kind: "notification", recorded: "nothing" } as const;
const list = {
  ...request,
  action: "list",
  eras: BOTH,
  params: { cursor: "string?" },
  recorded: "how many of how many, and their digest",
} as const;
const session = { ...request, action: "session", recorded: "the decision" } as const;
const task = {
  ...request,
  action: "task",
  names: { kind: "task", member: "taskId" },
  recorded: "the decision on the task's call, made again; outcome",
} as const;
const TASK_ID = { taskId: "string" } as const;

/** Every method of both eras that clients send. What has no row is refused: a future method is not let through unread. */
const METHODS = {
  initialize: {
    ...session,
    eras: LEGACY,
    params: { protocolVersion: "string", capabilities: "about", clientInfo: "about" },
    rewritten: "answered here: merged capabilities",
  },
  ping: { ...session, eras: LEGACY, rewritten: "answered here", recorded: "nothing" },
  "server/discover": { ...session, eras: MODERN, rewritten: "answered here: merged capabilities" },
  "tools/list": { ...list, rewritten: "names; hidden tools; schemas narrowed to the bounds" },
  "tools/call": {
    ...request,
    action: "call",
    eras: BOTH,
    names: { kind: "tool", member: "name" },
    params: { name: "string", arguments: "object?" },
    resumable: true,
    taskable: true,
    rewritten: "the name; `set` arguments; URIs and hidden links in the result; requestState",
    recorded: "target, arguments, grant, requirements; outcome",
  },
  "resources/list": { ...list, rewritten: "URIs; hidden resources" },
  "resources/templates/list": { ...list, rewritten: "URI templates; hidden templates" },
  "resources/read": {
    ...request,
    action: "read",
    eras: BOTH,
    names: { kind: "resource", member: "uri" },
    params: { uri: "string" },
    resumable: true,
    rewritten: "the URI, canonical; URIs and hidden links in the result; requestState",
    recorded: "every target that the URI matches, its variables, grant; outcome",
  },
  "resources/subscribe": {
    ...request,
    action: "subscribe",
    eras: LEGACY,
    names: { kind: "resource", member: "uri" },
    params: { uri: "string" },
    rewritten: "the URI, canonical",
    recorded: "as a read of the resource",
  },
  "resources/unsubscribe": {
    ...request,
    action: "subscribe",
    eras: LEGACY,
    names: { kind: "resource", member: "uri" },
    params: { uri: "string" },
    rewritten: "answered here: the session's stream hears less",
    recorded: "the URI",
  },
  "prompts/list": { ...list, rewritten: "names; hidden prompts; arguments narrowed to the bounds" },
  "prompts/get": {
    ...request,
    action: "get",
    eras: BOTH,
    names: { kind: "prompt", member: "name" },
    params: { name: "string", arguments: "strings?" },
    resumable: true,
    rewritten: "the name; `set` arguments; URIs and hidden links in the result; requestState",
    recorded: "target, arguments, grant, requirements; outcome",
  },
  "completion/complete": {
    ...request,
    action: "complete",
    eras: BOTH,
    params: { ref: "reference", argument: "argument", context: "context?" },
    rewritten: "the reference; values that the bounds forbid",
    recorded: "the completed target, the arguments, which of them is completed; outcome",
  },
  "logging/setLevel": {
    ...request,
    action: "level",
    eras: LEGACY,
    params: { level: "level" },
    rewritten: "kept with the session, told to each upstream",
    recorded: "the decision",
  },
  "subscriptions/listen": {
    ...request,
    action: "listen",
    eras: MODERN,
    params: { notifications: "filter" },
    rewritten: "URIs; the filter cut to what may be heard; subscriptionId",
    recorded: "what of it is heard",
  },
  "tasks/get": { ...task, eras: BOTH, params: TASK_ID, rewritten: "URIs and hidden links in the result" },
  "tasks/result": {
    ...task,
    eras: LEGACY,
    params: TASK_ID,
    rewritten: "URIs and hidden links in the result",
  },
  "tasks/list": {
    ...list,
    eras: LEGACY,
    action: "task",
    rewritten: "answered here: the caller's own tasks that may still be followed",
    recorded: "how many of how many, and their digest; each task of the page as its `tasks/get`",
  },
  "tasks/update": {
    ...task,
    eras: MODERN,
    params: { ...TASK_ID, inputResponses: "responses" },
    rewritten: "answers that the grant's `interaction` does not allow",
  },
  "tasks/cancel": { ...task, eras: BOTH, params: TASK_ID, rewritten: "nothing" },
  "notifications/initialized": {
    ...notification,
    action: "none",
    eras: LEGACY,
    rewritten: "ends here: each upstream has its own",
  },
  "notifications/cancelled": {
    ...notification,
    action: "cancel",
    // Over HTTP a modern client cancels by going away; over stdio it says so.
    eras: BOTH,
    params: { requestId: "id", reason: "string?" },
    rewritten: "ends here: the upstream's own request is cancelled",
  },
  "notifications/progress": {
    ...notification,
    action: "none",
    eras: LEGACY,
    params: { progressToken: "id", progress: "number" },
    rewritten: "ends here: questions are asked without a progress token",
  },
  "notifications/roots/list_changed": {
    ...notification,
    action: "none",
    eras: LEGACY,
    rewritten: "told to each upstream that has a session for it",
  },
  "notifications/tasks/status": {
    ...notification,
    action: "none",
    eras: LEGACY,
    rewritten: "ends here: questions are asked without a task",
  },
} as const satisfies Record<string, MethodRow>;

type Methods = typeof METHODS;
export type Method = keyof Methods;
export type RequestMethod = { [M in Method]: Methods[M]["kind"] extends "request" ? M : never }[Method];

const ROWS: ReadonlyMap<string, MethodRow> = new Map(Object.entries(METHODS));

/** The row of a method in an era; undefined for what that era does not define. */
export function methodRow(method: string, era: Era): MethodRow | undefined {
  const row = ROWS.get(method);
  return row?.eras.includes(era) ? row : undefined;
}

/** The whole table, for documentation and tests. */
export function methodTable(): readonly (MethodRow & { readonly method: Method })[] {
  return Object.entries(METHODS).map(([method, row]) => ({ method: method as Method, ...row }));
}
