import type { Principal, Target, TargetKind } from "../domain.ts";

/** One agent run: its user, and what of the user's it is narrowed to. Kept by the store; its token only names it. */
export interface Run {
  readonly id: string;
  /** The user, as the token that began it said, with `run` and the client that began it as `actor`. */
  readonly principal: Principal;
  readonly description: string;
  /** Seconds since the epoch, both. */
  readonly created: number;
  readonly expires: number;
  /** Virtual servers: one at least. */
  readonly servers: readonly string[];
  /** null: all that the user may use. None: nothing. */
  readonly targets: readonly TargetChoice[] | null;
  /** Credential sources and connected accounts by name; null: all. None: no credential at all. */
  readonly accounts: readonly string[] | null;
}

/** A choice of targets: those that have all that is named. */
export interface TargetChoice {
  /** The virtual server. */
  readonly server?: string;
  readonly upstream?: string;
  readonly kind?: TargetKind;
  /** With `upstream` the target's own name there; without, its name on the virtual server. */
  readonly name?: string;
}

/** Whether a run was given this target. It says nothing of whether its user may use it. */
export function isChosen(
  { targets, servers }: Run,
  target: Pick<Target, "upstream" | "kind" | "name" | "exposedName">,
  server: string,
): boolean {
  if (!servers.includes(server)) return false;
  return targets === null || targets.some((choice) => matches(choice, target, server));
}

function matches(
  choice: TargetChoice,
  { upstream, kind, name, exposedName }: Pick<Target, "upstream" | "kind" | "name" | "exposedName">,
  server: string,
): boolean {
  const named = choice.upstream === undefined ? exposedName : name;
  return (
    (choice.server ?? server) === server &&
    (choice.upstream ?? upstream) === upstream &&
    (choice.kind ?? kind) === kind &&
    (choice.name ?? named) === named
  );
}
