import type { ListedKind, TargetId } from "../domain.ts";
import { sha256 } from "../lib/json.ts";
import { elementsOf, membersOf, type Written, writtenIn } from "../lib/members.ts";
import { canonicalText } from "./definition.ts";
import { LISTED_KINDS } from "./kinds.ts";

export interface Pin extends TargetId {
  readonly kind: ListedKind;
  readonly digest: string;
  /** The definition, canonical JSON text. */
  readonly definition: string;
  /** A definition that differs from the pinned one and waits for approval, or null. */
  readonly pending: { readonly digest: string; readonly definition: string } | null;
}

/** Of a definition, and what stands around it. */
const FILE_DEPTH = 72;

/**
 * The text of a pin file: sorted, without times, a line for each value, so that a version control system shows what
 * changed in a definition. Numbers stay as the upstream wrote them.
 */
export function pinFileText(pins: readonly Pin[]): string {
  const texts = [...pins]
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    .map(({ upstream, kind, name, digest, definition, pending }) => {
      const id = [upstream, kind, name, digest].map((value) => JSON.stringify(value));
      const waits =
        pending === null
          ? ""
          : `,"pending":{"digest":"${pending.digest}","definition":${pending.definition}}`;
      return `{"upstream":${id[0]},"kind":${id[1]},"name":${id[2]},"digest":${id[3]},"definition":${definition}${waits}}`;
    });
  return `${indented(writtenIn(`{"v":1,"pins":[${texts.join(",")}]}`, FILE_DEPTH), "")}\n`;
}

/** @throws for what is no pin file, or where a definition does not have its digest */
export function readPinFile(text: string): readonly Pin[] {
  const file = membersOf(text);
  if (file.get("v") !== "1") throw new Error("it is not a pin file");
  return elementsOf(file.get("pins") ?? "").map(readPin);
}

/** Three parts, so that no two pins of other kinds can have one. */
export function keyOf({ upstream, kind, name }: TargetId): string {
  return JSON.stringify([upstream, kind, name]);
}

function readPin(text: string): Pin {
  const members = membersOf(text);
  const pending = members.get("pending");
  return {
    upstream: word(members, "upstream"),
    kind: kindIn(members),
    name: word(members, "name"),
    ...readVersion(members),
    pending: pending === undefined ? null : readVersion(membersOf(pending)),
  };
}

function kindIn(members: ReadonlyMap<string, string>): ListedKind {
  const kind = word(members, "kind") as ListedKind;
  if (!LISTED_KINDS.includes(kind)) throw new Error("a pin's kind is none that is pinned");
  return kind;
}

function readVersion(members: ReadonlyMap<string, string>): { digest: string; definition: string } {
  const digest = word(members, "digest");
  const definition = canonicalText(members.get("definition") ?? "");
  if (sha256(definition) !== digest) throw new Error("a definition does not have its digest");
  return { digest, definition };
}

function word(members: ReadonlyMap<string, string>, name: string): string {
  const value: unknown = JSON.parse(members.get(name) ?? "null");
  if (typeof value !== "string") throw new Error(`a pin's ${name} is not a text`);
  return value;
}

/** JSON text over several lines; whatever is neither object nor array stays as it was written. */
function indented(value: Written, indent: string): string {
  if (typeof value === "string") return value;
  const inner = `${indent}  `;
  const items =
    value instanceof Map
      ? Array.from(value, ([key, member]) => `${JSON.stringify(key)}: ${indented(member, inner)}`)
      : value.map((element) => indented(element, inner));
  const [open, close] = value instanceof Map ? "{}" : "[]";
  return items.length === 0
    ? `${open}${close}`
    : `${open}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${close}`;
}
