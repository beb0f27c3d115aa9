import type { TargetId } from "../domain.ts";
import type { Definition, Refusal } from "./definition.ts";
import { describeDrift } from "./drift.ts";
import type { Pin, PinStore } from "./pins.ts";

export interface Quarantined {
  readonly name: string;
  /** What changed since it was pinned, a line for each place. */
  readonly difference: readonly string[];
}

export interface Admission {
  readonly admitted: readonly Definition[];
  readonly quarantined: readonly Quarantined[];
  readonly refused: readonly Refusal[];
}

/**
 * Pins what is seen for the first time, admits what is as it was pinned, and keeps back what changed. Without pins
 * that can be read, nothing is admitted.
 */
export function admit(upstream: string, definitions: readonly Definition[], pins: PinStore): Admission {
  try {
    return admitBy(pins, upstream, definitions);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "pins cannot be read";
    return { admitted: [], quarantined: [], refused: definitions.map(({ name }) => ({ name, reason })) };
  }
}

function admitBy(pins: PinStore, upstream: string, definitions: readonly Definition[]): Admission {
  const verdicts = definitions.map((definition) => judge(upstream, definition, pins));
  const failure = keep(
    verdicts.flatMap(({ pin }) => pin ?? []),
    pins,
  );
  const refused = verdicts.filter(({ kind }) => kind === "new" && failure !== undefined);
  return {
    admitted: verdicts
      .filter(({ kind }) => kind === "same" || (kind === "new" && failure === undefined))
      .map(definitionOf),
    quarantined: verdicts.flatMap(({ kind, definition: { name }, difference }) =>
      kind === "changed" ? [{ name, difference }] : [],
    ),
    refused: refused.map(({ definition: { name } }) => ({
      name,
      reason: `it could not be pinned: ${failure}`,
    })),
  };
}

interface Verdict {
  readonly kind: "new" | "same" | "changed";
  readonly definition: Definition;
  readonly difference: readonly string[];
  /** What is to be kept, if anything changed. */
  readonly pin?: Pin;
}

function judge(upstream: string, definition: Definition, pins: PinStore): Verdict {
  const { name, digest, canonical } = definition;
  const id: TargetId = { upstream, kind: "tool", name };
  const seen = { digest, definition: canonical };
  const pin = pins.get(id);
  if (pin === undefined)
    return { kind: "new", definition, difference: [], pin: { ...id, ...seen, pending: null } };
  if (pin.digest === digest) {
    const reverted = pin.pending === null ? {} : { pin: { ...pin, pending: null } };
    return { kind: "same", definition, difference: [], ...reverted };
  }
  const difference = describeDrift(pin.definition, canonical);
  const noted = pin.pending?.digest === digest ? {} : { pin: { ...pin, pending: seen } };
  return { kind: "changed", definition, difference, ...noted };
}

function keep(changed: readonly Pin[], pins: PinStore): string | undefined {
  if (changed.length === 0) return undefined;
  try {
    pins.put(changed);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : "unknown";
  }
}

function definitionOf({ definition }: Verdict): Definition {
  return definition;
}
