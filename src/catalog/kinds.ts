import type { Listed, ListedKind } from "../domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { declaredParamHeaders, type ParamHeader } from "../lib/param-headers.ts";
import { readUri } from "../lib/uri.ts";
import { readTemplate } from "../lib/uri-template.ts";

/** What a definition is known by, and what its arguments are. */
export interface Subject {
  readonly name: string;
  readonly inputSchema: JsonObject;
  readonly paramHeaders?: readonly ParamHeader[];
}

export interface Kind {
  readonly method: string;
  /** The member of the method's result that holds the definitions. */
  readonly list: string;
  /** The list whose change an upstream announces. */
  readonly listed: Listed;
  /** The member that a definition is known by. */
  readonly member: string;
  /** @throws Error with the reason why it is refused */
  subject(given: string, definition: JsonObject): Subject;
}

/** In the order in which a view has them. */
export const KINDS: Readonly<Record<ListedKind, Kind>> = {
  tool: { method: "tools/list", list: "tools", listed: "tools", member: "name", subject: tool },
  resource: {
    method: "resources/list",
    list: "resources",
    listed: "resources",
    member: "uri",
    subject: resource,
  },
  template: {
    method: "resources/templates/list",
    list: "resourceTemplates",
    listed: "resources",
    member: "uriTemplate",
    subject: template,
  },
  prompt: { method: "prompts/list", list: "prompts", listed: "prompts", member: "name", subject: prompt },
};

export const LISTED_KINDS = Object.keys(KINDS) as readonly ListedKind[];

export const TOOL_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
/** What can be seen: no control, no format character that hides or turns others, no space but the plain one. */
export const PRINTABLE_NAME = /^(?! )[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,128}(?<! )$/u;
/** One object for all that takes no arguments, so that it is compiled once. */
export const NO_ARGUMENTS: JsonObject = Object.freeze({ type: "object", additionalProperties: false });
const MAX_ARGUMENTS = 100;

function tool(name: string, { inputSchema }: JsonObject): Subject {
  if (!TOOL_NAME.test(name)) throw new Error("its name is not 1-128 characters of A-Z a-z 0-9 _ . -");
  if (!isJsonObject(inputSchema)) throw new Error("its inputSchema is not an object");
  const paramHeaders = declaredParamHeaders(inputSchema);
  if (paramHeaders === undefined) throw new Error("it declares x-mcp-header where that is not allowed");
  return { name, inputSchema, paramHeaders };
}

function resource(given: string): Subject {
  const read = readUri(given);
  if (!read.ok) throw new Error(`its uri is refused: ${read.reason}`);
  return { name: read.uri, inputSchema: NO_ARGUMENTS };
}

function template(given: string): Subject {
  const read = readTemplate(given);
  if (!read.ok) throw new Error(`its uriTemplate is refused: ${read.reason}`);
  return { name: given, inputSchema: strings(read.template.variables) };
}

function prompt(name: string, { arguments: given = [] }: JsonObject): Subject {
  if (!PRINTABLE_NAME.test(name)) throw new Error("its name is not 1-128 printable characters");
  if (!Array.isArray(given) || given.length > MAX_ARGUMENTS)
    throw new Error(`its arguments are no list of at most ${MAX_ARGUMENTS}`);
  const found = given.map(argument);
  if (new Set(found.map((one) => one.name)).size < found.length)
    throw new Error("it names an argument twice");
  return { name, inputSchema: strings(found) };
}

function argument(given: Json): { readonly name: string; readonly required: boolean } {
  const name = isJsonObject(given) ? given.name : undefined;
  if (typeof name !== "string" || !PRINTABLE_NAME.test(name) || name === "__proto__")
    throw new Error("the name of an argument is not 1-128 printable characters");
  return { name, required: isJsonObject(given) && given.required === true };
}

function strings(found: readonly { readonly name: string; readonly required: boolean }[]): JsonObject {
  return {
    type: "object",
    properties: Object.fromEntries(found.map(({ name }) => [name, { type: "string" }])),
    required: found.filter(({ required }) => required).map(({ name }) => name),
    additionalProperties: false,
  };
}
