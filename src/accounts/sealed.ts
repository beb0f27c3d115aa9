import type { Clock } from "../lib/clock.ts";
import { derive, seal, unseal } from "./seal.ts";

/** Values that travel through a browser or an agent and come back as they were, for a while, or not at all. */
export interface Sealed<T> {
  close(value: T, ttlMs: number): string;
  /** null: too old, changed, or sealed for something else. */
  open(text: string): T | null;
}

/** @param purpose what is sealed for one purpose opens for no other */
export function createSealed<T>(master: Uint8Array, purpose: string, clock: Clock): Sealed<T> {
  const key = derive(master, purpose);
  return {
    close: (value, ttlMs) => seal(key, purpose, JSON.stringify({ until: clock() + ttlMs, value })),
    open(text) {
      const opened = unseal(key, purpose, text);
      if (opened === null) return null;
      // Authenticated: this process or a replica of it wrote this.
      const { until, value } = JSON.parse(opened) as { readonly until: number; readonly value: T };
      return clock() < until ? value : null;
    },
  };
}
