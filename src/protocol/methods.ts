import type { Era, TargetKind } from "../domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** What a member of params must be. `?`: it may be absent. */
type Shape = "string" | "string?" | "object" | "object?" | "number" | "id";

/** One method that clients may send. */
export interface MethodRow {
  readonly eras: readonly Era[];
  readonly kind: "request" | "notification";
  /** served: the gate answers it. refused: known, not served yet. dropped: a notification nobody here needs. */
  readonly handling: "served" | "refused" | "dropped";
  /** The kind of target that the request names, and the member of params that names it (`Mcp-Name` mirrors it). */
  readonly names?: { readonly kind: TargetKind; readonly member: string };
  readonly params?: Readonly<Record<string, Shape>>;
}

const BOTH: readonly Era[] = ["legacy", "modern"];
const LEGACY: readonly Era[] = ["legacy"];
const MODERN: readonly Era[] = ["modern"];

const request = { kind: "request", handling: "served" } as const;
const notification = { kind: "notification", handling: "served" } as const;
const refused = { kind: "request", handling: "refused" } as const;
const cursor = { cursor: "string?" } as const;

/** Every method of both eras. What has no row is refused: a future method is not let through unread. */
const METHODS = {
  initialize: {
    ...request,
    eras: LEGACY,
    params: { protocolVersion: "string", capabilities: "object", clientInfo: "object" },
  },
  ping: { ...request, eras: LEGACY },
  "server/discover": { ...request, eras: MODERN },
  "tools/list": { ...request, eras: BOTH, params: cursor },
  "tools/call": {
    ...request,
    eras: BOTH,
    names: { kind: "tool", member: "name" },
    params: { name: "string", arguments: "object?" },
  },
  "notifications/initialized": { ...notification, eras: LEGACY },
  "notifications/cancelled": {
    ...notification,
    eras: LEGACY,
    params: { requestId: "id", reason: "string?" },
  },
  "notifications/progress": {
    ...notification,
    eras: LEGACY,
    params: { progressToken: "id", progress: "number" },
  },
  "notifications/roots/list_changed": { kind: "notification", handling: "dropped", eras: LEGACY },
  "notifications/tasks/status": { kind: "notification", handling: "dropped", eras: LEGACY },
  "resources/list": { ...refused, eras: BOTH },
  "resources/templates/list": { ...refused, eras: BOTH },
  "resources/read": { ...refused, eras: BOTH, names: { kind: "resource", member: "uri" } },
  "resources/subscribe": { ...refused, eras: LEGACY },
  "resources/unsubscribe": { ...refused, eras: LEGACY },
  "prompts/list": { ...refused, eras: BOTH },
  "prompts/get": { ...refused, eras: BOTH, names: { kind: "prompt", member: "name" } },
  "completion/complete": { ...refused, eras: BOTH },
  "logging/setLevel": { ...refused, eras: LEGACY },
  "subscriptions/listen": { ...refused, eras: MODERN },
  "tasks/get": { ...refused, eras: BOTH },
  "tasks/result": { ...refused, eras: LEGACY },
  "tasks/list": { ...refused, eras: LEGACY },
  "tasks/update": { ...refused, eras: MODERN },
  "tasks/cancel": { ...refused, eras: BOTH },
} as const satisfies Record<string, MethodRow>;

export type Method = keyof typeof METHODS;

const ROWS: ReadonlyMap<string, MethodRow> = new Map(Object.entries(METHODS));

/** The row of a method in an era; undefined for what that era does not define. */
export function methodRow(method: string, era: Era): MethodRow | undefined {
  const row = ROWS.get(method);
  return row?.eras.includes(era) ? row : undefined;
}

/** The first member of params that is not what the method needs, or undefined. */
export function misshapen({ params = {} }: MethodRow, given: JsonObject): string | undefined {
  return Object.keys(params).find((member) => !fits(params[member] as Shape, given[member]));
}

function fits(shape: Shape, value: Json | undefined): boolean {
  if (value === undefined) return shape.endsWith("?");
  if (shape === "id") return isRequestId(value);
  if (shape.startsWith("object")) return isJsonObject(value);
  return typeof value === (shape.startsWith("string") ? "string" : "number");
}

/** Past this an id only fills the log and comes back with every answer. */
const MAX_ID = 256;

export function isRequestId(value: Json | undefined): value is string | number {
  return typeof value === "string" ? value.length <= MAX_ID : Number.isSafeInteger(value);
}
