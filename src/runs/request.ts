import type { TargetKind } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { isPlainText } from "../lib/plain-text.ts";
import type { TargetChoice } from "./run.ts";

/** What a user asks for. */
export interface RunRequest {
  /** Seconds; undefined: as long as is usual. */
  readonly ttl: number | undefined;
  /** null: all that the user's token is good for. */
  readonly servers: readonly string[] | null;
  readonly targets: readonly TargetChoice[] | null;
  readonly accounts: readonly string[] | null;
  readonly description: string;
}

/** Each is in the token, which travels in a header. */
export const MAX_SERVERS = 32;
const MAX_TARGETS = 256;
const MAX_ACCOUNTS = 64;
const MAX_NAME = 2_048;
const MAX_DESCRIPTION = 256;
/** A record of each key: a kind that is added to the domain must be added here. */
const KINDS: Readonly<Record<TargetKind, true>> = {
  tool: true,
  resource: true,
  template: true,
  prompt: true,
  server: true,
  sampling: true,
  elicitation: true,
  roots: true,
};

/**
 * The body of `POST /runs`. What is absent does not narrow; what is there narrows, also when it is empty.
 * @throws PortcullisError `params_invalid`, with what is wrong for the caller
 */
export function readRunRequest(body: Json, limits: { readonly max_ttl: number }): RunRequest {
  if (!isJsonObject(body)) throw wrong("the body must be an object");
  closed(body, ["ttl", "servers", "targets", "accounts", "description"], "the body");
  const { ttl, description = "" } = body;
  if (ttl !== undefined && !(Number.isSafeInteger(ttl) && Number(ttl) >= 1 && Number(ttl) <= limits.max_ttl))
    throw wrong(`ttl must be whole seconds, from 1 to ${limits.max_ttl}`);
  if (typeof description !== "string" || !isPlainText(description, MAX_DESCRIPTION))
    throw wrong(`description must be one line of at most ${MAX_DESCRIPTION} characters`);
  const servers = names(body, "servers", MAX_SERVERS);
  if (servers?.length === 0) throw wrong("servers must name one at least, or be left out");
  const targets = list(body, "targets", MAX_TARGETS)?.map(readChoice) ?? null;
  const stray = targets?.find(({ server }) => server !== undefined && servers?.includes(server) === false);
  if (stray !== undefined) throw wrong("targets must be on the servers that are chosen");
  return {
    ttl: ttl === undefined ? undefined : Number(ttl),
    servers,
    targets,
    accounts: names(body, "accounts", MAX_ACCOUNTS),
    description,
  };
}

/** A text is the name of a target on its virtual server. */
function readChoice(value: Json, index: number): TargetChoice {
  const where = `targets[${index}]`;
  if (typeof value === "string") return { name: text(value, where) };
  if (!isJsonObject(value)) throw wrong(`${where} must be a name, or an object`);
  closed(value, ["server", "upstream", "kind", "name"], where);
  if (Object.keys(value).length === 0) throw wrong(`${where} must name something`);
  const { server, upstream, kind, name } = value;
  if (kind !== undefined && !isKind(kind))
    throw wrong(`${where}.kind must be one of ${Object.keys(KINDS).join(", ")}`);
  return {
    ...(server !== undefined && { server: text(server, `${where}.server`) }),
    ...(upstream !== undefined && { upstream: text(upstream, `${where}.upstream`) }),
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name: text(name, `${where}.name`) }),
  };
}

function isKind(value: Json): value is TargetKind {
  return typeof value === "string" && Object.hasOwn(KINDS, value);
}

function names(body: JsonObject, key: string, max: number): readonly string[] | null {
  const found = list(body, key, max)?.map((one, index) => text(one, `${key}[${index}]`));
  return found === undefined ? null : [...new Set(found)];
}

function list(body: JsonObject, key: string, max: number): readonly Json[] | undefined {
  const value = body[key];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length > max) throw wrong(`${key} must be a list of at most ${max}`);
  return value;
}

function text(value: Json, where: string): string {
  if (typeof value !== "string" || value === "" || !isPlainText(value, MAX_NAME))
    throw wrong(`${where} must be a name`);
  return value;
}

/** A misspelt narrowing must not become none. */
function closed(value: JsonObject, keys: readonly string[], where: string): void {
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw wrong(`${where} has an unknown key; known are ${keys.join(", ")}`);
}

function wrong(what: string): PortcullisError {
  return new PortcullisError("params_invalid", { text: `This is not a run that can be asked for: ${what}.` });
}
