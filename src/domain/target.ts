import type { JsonObject } from "../lib/json.ts";
import type { ParamHeader } from "../lib/param-headers.ts";

export type { ParamHeader };

export type TargetKind =
  | "tool"
  | "resource"
  | "template"
  | "prompt"
  | "server"
  | "sampling"
  | "elicitation"
  | "roots";

/** A target's identity: three parts, compared as three parts, never as a joined string. */
export interface TargetId {
  readonly upstream: string;
  readonly kind: TargetKind;
  readonly name: string;
}

/** What policy sees of a target (`input.target`). */
export interface PolicyTarget extends TargetId {
  /** From configuration only, sorted. */
  readonly labels: readonly string[];
  /** What the server says of itself: untrusted. `{title, description, annotations}` as announced. */
  readonly announced: JsonObject;
}

/** The kinds that upstreams list. */
export type ListedKind = "tool" | "resource" | "template" | "prompt";

/** What a server may ask of a client; a grant's `interaction` names what it allows. */
export type QuestionKind = "sampling" | "elicitation" | "roots";

/**
 * A target, pinned. What no upstream lists (an upstream itself, its questions, a resource that was only linked to) is a
 * target too, with nothing announced.
 */
export interface Target extends PolicyTarget {
  /**
   * The name on this virtual server. Tools and prompts: `name`, or `upstream__name` where there are several upstreams.
   * A resource: its URI, a template: its uriTemplate, with the upstream in them where there are several.
   */
  readonly exposedName: string;
  /** The definition as announced, member by member, each value as the text that the upstream sent. */
  readonly definition: ReadonlyMap<string, string>;
  /**
   * What arguments are checked against: a tool's inputSchema; of a prompt or a template an object of strings; of
   * anything else an object without members.
   */
  readonly inputSchema: JsonObject;
  /** Arguments that a modern upstream wants repeated in `Mcp-Param-*` headers. */
  readonly paramHeaders?: readonly ParamHeader[];
  /** SHA-256 over identity, labels and canonical definition: changes whenever policy or caller could see a change. */
  readonly digest: string;
}
