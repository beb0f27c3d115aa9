import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

type Check = (value: Json) => boolean;

/** Past this an id only fills the log and comes back with every answer. */
const MAX_ID = 256;
/** Keys of `inputResponses` and URIs of one `subscriptions/listen`: more is no conversation. */
const MAX_ENTRIES = 100;
/** Characters. What a client says of itself is kept for as long as its session. */
const MAX_ABOUT = 16 << 10;
/** Characters. What the gateway sealed comes back whole: an upstream's own state within it, and what binds it. */
export const MAX_STATE = 256 << 10;

export function isRequestId(value: Json | undefined): value is string | number {
  return typeof value === "string" ? value.length <= MAX_ID : Number.isSafeInteger(value);
}

/** The severities of RFC 5424, least severe first, as MCP names them. */
export const LOG_LEVELS = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency",
] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function isLogLevel(value: Json | undefined): value is LogLevel {
  return LOG_LEVELS.some((level) => level === value);
}

const isString: Check = (value) => typeof value === "string";

function isAbout(value: Json): boolean {
  return isJsonObject(value) && JSON.stringify(value).length <= MAX_ABOUT;
}

function isStringMap(value: Json): boolean {
  return isJsonObject(value) && Object.values(value).every(isString);
}

/** A prompt by its name, or a resource or template by its URI. */
function isReference(value: Json): boolean {
  if (!isJsonObject(value)) return false;
  return value.type === "ref/prompt"
    ? isString(value.name ?? null)
    : value.type === "ref/resource" && isString(value.uri ?? null);
}

function isArgument(value: Json): boolean {
  return isJsonObject(value) && isString(value.name ?? null) && isString(value.value ?? null);
}

function isContext(value: Json): boolean {
  return isJsonObject(value) && isStringMap(value.arguments ?? {});
}

const FLAGS = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
const LISTS = ["resourceSubscriptions", "taskIds"];

/** Of `subscriptions/listen`: what is wanted of each kind; what else stands there is wanted by nobody here. */
function isFilter(value: Json): boolean {
  if (!isJsonObject(value)) return false;
  const flagged = FLAGS.every((flag) => typeof (value[flag] ?? false) === "boolean");
  return flagged && LISTS.every((list) => isShortList(value[list] ?? []));
}

function isShortList(value: Json): boolean {
  return Array.isArray(value) && value.length <= MAX_ENTRIES && value.every(isString);
}

function isTask(value: Json): boolean {
  if (!isJsonObject(value)) return false;
  const { ttl = 0 } = value;
  return typeof ttl === "number" && ttl >= 0;
}

/** A client's answers to what it was asked, by the keys that it was asked under. */
function isResponses(value: Json): boolean {
  if (!isJsonObject(value)) return false;
  const keys = Object.keys(value);
  return (
    keys.length <= MAX_ENTRIES &&
    keys.every((key) => key.length <= MAX_ID && isJsonObject(value[key] as Json))
  );
}

const CHECKS = {
  string: isString,
  number: (value) => typeof value === "number",
  object: isJsonObject,
  about: isAbout,
  strings: isStringMap,
  id: isRequestId,
  level: isLogLevel,
  reference: isReference,
  argument: isArgument,
  context: isContext,
  filter: isFilter,
  task: isTask,
  responses: isResponses,
  state: (value) => typeof value === "string" && value.length <= MAX_STATE,
} as const satisfies Record<string, Check>;

/** What a member of params must be. `?`: it may be absent. */
export type Shape = keyof typeof CHECKS | `${keyof typeof CHECKS}?`;

const IN_WORDS: Readonly<Record<keyof typeof CHECKS, string>> = {
  string: "a string",
  number: "a number",
  object: "an object",
  about: `an object of at most ${MAX_ABOUT} characters`,
  strings: "an object of strings",
  id: `an integer, or a string of at most ${MAX_ID} characters`,
  level: `one of ${LOG_LEVELS.join(", ")}`,
  reference: "a ref/prompt with a name, or a ref/resource with a uri",
  argument: "an object with name and value",
  context: "an object with arguments, which are strings",
  filter: `flags, and lists of at most ${MAX_ENTRIES} strings`,
  task: "an object; its ttl a number, 0 or more",
  responses: `at most ${MAX_ENTRIES} objects by key`,
  state: "the string that came with the result",
};

/** What is wrong with the first member that is not of its shape, or undefined. */
export function misshapen(shapes: Readonly<Record<string, Shape>>, given: JsonObject): string | undefined {
  const member = Object.keys(shapes).find((member) => !fits(shapes[member] as Shape, given[member]));
  if (member === undefined) return undefined;
  const words = IN_WORDS[bare(shapes[member] as Shape)];
  return given[member] === undefined ? `${member} is missing: ${words}` : `${member} must be ${words}`;
}

function bare(shape: Shape): keyof typeof CHECKS {
  return shape.replace("?", "") as keyof typeof CHECKS;
}

function fits(shape: Shape, value: Json | undefined): boolean {
  if (value === undefined) return shape.endsWith("?");
  return CHECKS[bare(shape)](value);
}
