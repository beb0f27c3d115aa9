import type { Era, QuestionKind } from "../domain.ts";

/** One method that upstreams may send, outside of answers. */
export interface ServerMethodRow {
  readonly eras: readonly Era[];
  readonly kind: "request" | "notification";
  /** Of a request: what a grant's `interaction` must name. */
  readonly question?: QuestionKind;
  /** Who may get it. */
  readonly audience: "asker" | "list" | "subscriber" | "logger" | "task" | "nobody";
  readonly rewritten: string;
}

const BOTH: readonly Era[] = ["legacy", "modern"];
const LEGACY: readonly Era[] = ["legacy"];
const question = { kind: "request", eras: BOTH, audience: "asker" } as const;
const notification = { kind: "notification", eras: BOTH } as const;
const listChanged = {
  ...notification,
  audience: "list",
  rewritten: "sent again only where the caller's own list changed",
} as const;

/** What servers send of their own accord. A modern server's questions are in `input_required` results. */
const SERVER_METHODS = {
  ping: { kind: "request", eras: LEGACY, audience: "nobody", rewritten: "answered here" },
  "sampling/createMessage": { ...question, question: "sampling", rewritten: "the id; or an inputRequest" },
  "elicitation/create": { ...question, question: "elicitation", rewritten: "the id; or an inputRequest" },
  "roots/list": { ...question, question: "roots", rewritten: "the id; or an inputRequest" },
  "notifications/progress": { ...notification, audience: "asker", rewritten: "the progress token" },
  "notifications/message": {
    ...notification,
    audience: "logger",
    rewritten: "nothing, from the caller's level on",
  },
  "notifications/resources/updated": {
    ...notification,
    audience: "subscriber",
    rewritten: "the URI; subscriptionId",
  },
  "notifications/tools/list_changed": listChanged,
  "notifications/resources/list_changed": listChanged,
  "notifications/prompts/list_changed": listChanged,
  "notifications/tasks/status": {
    ...notification,
    eras: LEGACY,
    audience: "task",
    rewritten: "nothing, on the standing stream of the task's maker",
  },
  "notifications/tasks": {
    ...notification,
    eras: ["modern"],
    audience: "nobody",
    rewritten: "dropped: clients ask with tasks/get",
  },
  "notifications/elicitation/complete": {
    ...notification,
    eras: LEGACY,
    audience: "asker",
    rewritten: "nothing",
  },
  "notifications/cancelled": {
    ...notification,
    audience: "asker",
    rewritten: "the id: the question is withdrawn",
  },
  "notifications/subscriptions/acknowledged": {
    ...notification,
    eras: ["modern"],
    audience: "nobody",
    rewritten: "answered here: each caller gets its own",
  },
} as const satisfies Record<string, ServerMethodRow>;

export type ServerMethod = keyof typeof SERVER_METHODS;

const ROWS: ReadonlyMap<string, ServerMethodRow> = new Map(Object.entries(SERVER_METHODS));

/** The row of what a server sent; undefined: it is dropped. */
export function serverMethodRow(method: string): ServerMethodRow | undefined {
  return ROWS.get(method);
}

/** The whole table, for documentation and tests. */
export function serverMethodTable(): readonly (ServerMethodRow & { readonly method: ServerMethod })[] {
  return Object.entries(SERVER_METHODS).map(([method, row]) => ({ method: method as ServerMethod, ...row }));
}
