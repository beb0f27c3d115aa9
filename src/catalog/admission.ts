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

/** Pins are for good, and an upstream can announce other targets, or others of that name, each time it is asked. */
const MAX_PINS = 10_000;
/** Of one upstream's pins of one kind: the file is written whole. */
const MAX_PIN_BYTES = 32 << 20;

/** Tells whether there is room for a pin as it is to be; then it is counted. */
function createRoom(upstream: string, pins: PinStore): (pin: Pin) => boolean {
  const count = createCounts<ListedKind>();
  const bytes = createCounts<ListedKind>();
  function add({ kind }: Pin, one: number, more: number): void {
    count.add(kind, one);
    bytes.add(kind, more);
  }
  for (const pin of pins.list()) if (pin.upstream === upstream) add(pin, 1, bytesOf(pin));
  return (pin) => {
    const before = pins.get(pin);
    const one = before === undefined ? 1 : 0;
    const more = bytesOf(pin) - bytesOf(before);
    const fits = count.of(pin.kind) + one <= MAX_PINS && bytes.of(pin.kind) + more <= MAX_PIN_BYTES;
    if (more > 0 && !fits) return false;
    add(pin, one, more);
    return true;
  };
}

function bytesOf(pin: Pin | undefined): number {
  return (pin?.definition.length ?? 0) + (pin?.pending?.definition.length ?? 0);
}

function admitBy(pins: PinStore, upstream: string, definitions: readonly Definition[]): Admission {
  const [admitted, unpinned]: [Definition[], Definition[]] = [[], []];
  const quarantined: Quarantined[] = [];
  const refused: Refusal[] = [];
  const changed: Pin[] = [];
  const hasRoom = createRoom(upstream, pins);
  function change(pin: Pin): boolean {
    const fits = hasRoom(pin);
    if (fits) changed.push(pin);
    return fits;
  }
  for (const definition of definitions) {
    const { kind, name, digest, canonical } = definition;
    const seen = { digest, definition: canonical };
    const pin = pins.get({ upstream, kind, name });
    if (pin === undefined) {
      if (change({ upstream, kind, name, ...seen, pending: null })) unpinned.push(definition);
      else refused.push({ kind, name, reason: "more of its kind are pinned than are kept" });
    } else if (pin.digest === digest) {
      admitted.push(definition);
      if (pin.pending !== null) change({ ...pin, pending: null });
    } else {
      quarantined.push({ kind, name, difference: describeDrift(pin.definition, canonical) });
      if (pin.pending?.digest !== digest) change({ ...pin, pending: seen });
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
