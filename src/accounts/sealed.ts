import type { Clock } from "../lib/clock.ts";
import type { Json } from "../lib/json.ts";
import { createSeal } from "../lib/seal.ts";

/** Values that travel through a browser or an agent and come back as they were, for a while, or not at all. */
export interface Sealed<T> {
  close(value: T, ttlMs: number): string;
  /** null: too old, changed, or sealed for something else. */
  open(text: string): T | null;
}

/** @param purpose what is sealed for one purpose opens for no other */
export function createSealed<T>(master: Uint8Array, purpose: string, clock: Clock): Sealed<T> {
  const { seal, open } = createSeal(Buffer.from(master));
  return {
    close: (value, ttlMs) => seal(purpose, value as Json, clock() + ttlMs),
    // Authenticated: this process or a replica of it wrote this.
    open: (text) => (open(purpose, text, clock()) as T | undefined) ?? null,
  };
}
