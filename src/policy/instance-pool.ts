import { messageOf } from "../lib/errors.ts";
import { createInstance, type Instance, jsonBuffer, type Program } from "./instance.ts";

/** What making an instance costs a decision, in steps: about half a millisecond. */
const CREATION_STEPS = 50_000;
/** Memory never shrinks: an instance that one evaluation blew up by more than this is not kept. */
const KEPT_GROWTH_BYTES = 8 * 1024 * 1024;

export type Evaluation =
  /** `value` undefined: Rego's undefined. */
  | { readonly ok: true; readonly value: unknown }
  /** `fault`: for records and logs. */
  | { readonly ok: false; readonly fault: string };

/** What a decision may still spend; each evaluation takes from it. */
export interface Allowance {
  steps: number;
}

/** Live instances, one per program and at most `capacity`: the least recently used goes first. */
export interface InstancePool {
  /** Never throws. @param input JSON text, checked. @param now seconds since the epoch */
  evaluate(
    program: Program,
    entrypoint: string,
    input: string,
    now: number,
    allowance: Allowance,
  ): Evaluation;
  /** No instance of it is kept from now on. */
  release(program: Program): void;
  readonly size: number;
}

export function createInstancePool(capacity: number): InstancePool {
  const instances = new Map<Program, Instance>();
  /** A decision that began before a swap goes on with the program that it began with. */
  const released = new WeakSet<Program>();

  /** An instance leaves the pool while it works, so that one that throws is gone and one that returns is the newest. */
  function take(program: Program, allowance: Allowance): Instance {
    const kept = instances.get(program);
    instances.delete(program);
    if (kept) return kept;
    allowance.steps -= CREATION_STEPS;
    return createInstance(program);
  }

  function put(program: Program, instance: Instance): void {
    if (released.has(program)) return;
    if (instance.memory - program.image.byteLength > KEPT_GROWTH_BYTES) return;
    instances.set(program, instance);
    const [oldest] = instances.keys();
    if (instances.size > capacity && oldest) instances.delete(oldest);
  }

  return {
    evaluate: (program, entrypoint, input, now, allowance) => {
      if (allowance.steps <= 0) return { ok: false, fault: "policy: no steps are left for this decision" };
      const steps = Math.min(program.limits.steps, allowance.steps);
      let instance: Instance | undefined;
      try {
        instance = take(program, allowance);
        const value = instance.evaluate(entrypoint, jsonBuffer(input), now, steps);
        put(program, instance);
        return { ok: true, value };
      } catch (thrown) {
        return {
          ok: false,
          fault: instance && instance.stepsLeft < 0 ? `policy: cut after ${steps} steps` : faultOf(thrown),
        };
      } finally {
        if (instance) allowance.steps -= steps - instance.stepsLeft;
      }
    },
    release(program) {
      released.add(program);
      instances.delete(program);
    },
    get size() {
      return instances.size;
    },
  };
}

/** The package throws strings and plain objects as well as errors. */
function faultOf(thrown: unknown): string {
  return `policy: evaluation failed: ${messageOf(thrown)}`;
}
