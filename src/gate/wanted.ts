import type { Grant, Target, TargetId } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Match } from "./decision.ts";
import type { Resumption } from "./resume.ts";

/** What a request asks to use. */
export interface Wanted {
  /** For the record, whether there is such a target or not. */
  readonly asked: TargetId;
  /** What is asked for, where its targets do not say it: a URI. */
  readonly named?: string | undefined;
  /** As the caller sent them. */
  readonly arguments: JsonObject;
  /** Everything that it must be allowed under, what it names first; none: there is no such target. */
  readonly matches: readonly Match[];
  /** What the upstream is sent, around the arguments that policy let through; undefined: they ask for something else. */
  params(match: Match, args: JsonObject): JsonObject | undefined;
  /** What may be checked only once the caller is known to see the target. */
  onVisible?(): void;
  /** What has to be done before it is carried out; it is not if this rejects. */
  onAllowed?(): Promise<unknown>;
  /** The result, where the gateway itself answers what was allowed. */
  readonly answered?: string | undefined;
}

/** An allowed request whose decision is on disk. */
export interface Allowed {
  /** Of the decision's record. */
  readonly id: string;
  readonly target: Target;
  readonly grant: Grant;
  /** What the upstream is sent. */
  readonly params: JsonObject;
  /** The arguments in it that policy let through, and those that the caller sent. */
  readonly arguments: JsonObject;
  readonly sent: JsonObject;
  /** Digest of what the caller sent. */
  readonly sha256: string;
  readonly resume: Resumption | null;
  /** What of the upstream's result this caller is told, where the kind of request says more than `present` does. */
  filter?(result: string): string;
}
