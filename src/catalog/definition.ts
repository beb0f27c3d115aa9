import type { ListedKind } from "../domain.ts";
import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import { valueIn } from "../lib/json-text.ts";
import { joinMembers, membersOf, type Written, writtenIn } from "../lib/members.ts";
import type { ParamHeader } from "../lib/param-headers.ts";
import { KINDS } from "./kinds.ts";

/** What an upstream announces: a tool, a resource, a template or a prompt. */
export interface Definition {
  readonly kind: ListedKind;
  /** What it is known by: a name, a resource's canonical URI, a template's text. */
  readonly name: string;
  /** Each member as the text that the upstream sent. */
  readonly members: ReadonlyMap<string, string>;
  readonly inputSchema: JsonObject;
  readonly paramHeaders?: readonly ParamHeader[];
  /** What policy sees: untrusted, bounded, every field present. */
  readonly announced: JsonObject;
  /** What is pinned, equal for equal definitions, whatever the order of their members. */
  readonly canonical: string;
  /** Of what is pinned. */
  readonly digest: string;
  /** Of all that was announced. */
  readonly announcedDigest: string;
}

export interface Refusal {
  readonly kind: ListedKind;
  readonly name: string;
  readonly reason: string;
}

const MAX_BYTES = 128 * 1024;
const MAX_DEPTH = 64;
const MAX_SHOWN = 2048;
const ANNOUNCED = { title: 256, description: 4096, annotations: 4096 };

/** Reads one definition from its text. */
export function readDefinition(kind: ListedKind, text: string): Definition | Refusal {
  let name = "?";
  try {
    if (Buffer.byteLength(text) > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    const members = membersOf(text);
    const value = valueIn(text) as JsonObject;
    const { member, subject } = KINDS[kind];
    const given = value[member];
    if (typeof given !== "string") throw new Error(`it has no ${member}`);
    // It is printed in terminals.
    name = given.slice(0, MAX_SHOWN).replace(/\p{C}/gu, "\ufffd");
    const read = subject(given, value);
    name = read.name;
    const all = canonicalText(text);
    const canonical = kind === "resource" ? withoutState(members) : all;
    return {
      kind,
      ...read,
      members,
      announced: announcedOf(value),
      canonical,
      digest: sha256(canonical),
      announcedDigest: sha256(all),
    };
  } catch (error) {
    return { kind, name, reason: error instanceof Error ? error.message : "it cannot be read" };
  }
}

export function isRefusal(read: Definition | Refusal): read is Refusal {
  return "reason" in read;
}

/** Size and time of change are a resource's state, not its definition: they change with every edit. */
function withoutState(members: ReadonlyMap<string, string>): string {
  const lasting = new Map(members);
  lasting.delete("size");
  const annotations = members.get("annotations") ?? "";
  if (annotations.startsWith("{")) {
    const own = membersOf(annotations);
    own.delete("lastModified");
    if (own.size === 0) lasting.delete("annotations");
    else lasting.set("annotations", joinMembers(own));
  }
  return canonicalText(joinMembers(lasting));
}

function announcedOf({ title, description, annotations }: JsonObject): JsonObject {
  const bounded = isJsonObject(annotations) && JSON.stringify(annotations).length <= ANNOUNCED.annotations;
  return {
    title: typeof title === "string" ? title.slice(0, ANNOUNCED.title) : "",
    description: typeof description === "string" ? description.slice(0, ANNOUNCED.description) : "",
    annotations: bounded ? annotations : {},
  };
}

/** JSON text with sorted keys; numbers stay as written, so that a change beyond 2^53 is a change. */
export function canonicalText(text: string): string {
  return canonical(writtenIn(text, MAX_DEPTH));
}

/** Text is added to text, which copies nothing: to join the parts of each level would copy all that is below it. */
function canonical(value: Written): string {
  if (typeof value === "string") return value.startsWith('"') ? JSON.stringify(JSON.parse(value)) : value;
  const isObject = value instanceof Map;
  const parts = isObject ? [...value].sort(([a], [b]) => (a < b ? -1 : 1)) : value.entries();
  let text = "";
  for (const [key, part] of parts)
    text += `${text === "" ? "" : ","}${isObject ? `${JSON.stringify(key)}:` : ""}${canonical(part)}`;
  return isObject ? `{${text}}` : `[${text}]`;
}
