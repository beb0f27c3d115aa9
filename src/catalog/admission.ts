import type { ListedKind } from "../domain.ts";
import { createCounts } from "../lib/counts.ts";
import { messageOf } from "../lib/errors.ts";
import type { Definition, Refusal } from "./definition.ts";
import { describeDrift } from "./drift.ts";
import type { Pin, PinStore } from "./pins.ts";

export interface Quarantined {
  readonly kind: ListedKind;
  readonly name: string;
  /** What changed since it was pinned, a line for each place. */
  readonly difference: readonly string[];
}

export interface Admission {
  readonly admitted: readonly Definition[];
  readonly quarantined: readonly Quarantined[];
  readonly refused: readonly Refusal[];
  /** Why pins cannot be read or kept, or "": only who runs the gateway can mend that. */
  readonly fault: string;
}

/**
 * Pins what is seen for the first time, admits what is as it was pinned, and keeps back what changed. Without pins
 * that can be read, nothing is admitted.
 */
export function admit(upstream: string, definitions: readonly Definition[], pins: PinStore): Admission {
  try {
    return admitBy(pins, upstream, definitions);
  } catch (error) {
    const reason = "it could not be compared with its pin";
    return {
      admitted: [],
      quarantined: [],
      refused: definitions.map(({ kind, name }) => ({ kind, name, reason })),
      fault: messageOf(error),
    };
  }
}

/** Pins are for good, and an upstream can announce other resources each time it is asked: so many of each kind. */
const MAX_PINS = 10_000;

function admitBy(pins: PinStore, upstream: string, definitions: readonly Definition[]): Admission {
  const [admitted, unpinned]: [Definition[], Definition[]] = [[], []];
  const quarantined: Quarantined[] = [];
  const refused: Refusal[] = [];
  const changed: Pin[] = [];
  const pinned = createCounts<ListedKind>();
  for (const pin of pins.list()) if (pin.upstream === upstream) pinned.add(pin.kind, 1);
  for (const definition of definitions) {
    const { kind, name, digest, canonical } = definition;
    const seen = { digest, definition: canonical };
    const pin = pins.get({ upstream, kind, name });
    if (pin === undefined && pinned.of(kind) >= MAX_PINS) {
      refused.push({ kind, name, reason: "more of its kind are pinned than are kept" });
    } else if (pin === undefined) {
      pinned.add(kind, 1);
      unpinned.push(definition);
      changed.push({ upstream, kind, name, ...seen, pending: null });
    } else if (pin.digest === digest) {
      admitted.push(definition);
      if (pin.pending !== null) changed.push({ ...pin, pending: null });
    } else {
      quarantined.push({ kind, name, difference: describeDrift(pin.definition, canonical) });
      if (pin.pending?.digest !== digest) changed.push({ ...pin, pending: seen });
    }
  }
  const fault = keep(changed, pins);
  if (fault === "") admitted.push(...unpinned);
  else for (const { kind, name } of unpinned) refused.push({ kind, name, reason: "it could not be pinned" });
  return { admitted, quarantined, refused, fault };
}

/** Why they could not be kept, or "". */
function keep(changed: readonly Pin[], pins: PinStore): string {
  if (changed.length === 0) return "";
  try {
    pins.put(changed);
    return "";
  } catch (error) {
    return messageOf(error);
  }
}
