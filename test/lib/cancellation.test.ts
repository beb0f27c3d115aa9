import { expect, test } from "vitest";
import { abortSignalOf, Cancellation } from "../../src/lib/cancellation.ts";

test("whoever listens is told once, functions and objects alike", () => {
  const cancellation = new Cancellation();
  const told: string[] = [];
  const both = { handleEvent: () => void told.push("object") };
  cancellation.addEventListener("abort", () => void told.push("function"));
  cancellation.addEventListener("abort", both);
  cancellation.addEventListener("abort", both);
  expect(cancellation.aborted).toBe(false);
  cancellation.abort();
  cancellation.abort();
  expect(cancellation.aborted).toBe(true);
  expect(told).toEqual(["function", "object"]);
});

test("who no longer listens, or comes too late, is told nothing, as by an AbortSignal", () => {
  for (const signal of [new Cancellation(), new AbortController()]) {
    const source = signal instanceof Cancellation ? signal : signal.signal;
    const told: string[] = [];
    const gone = () => void told.push("gone");
    source.addEventListener("abort", gone);
    source.removeEventListener("abort", gone);
    source.removeEventListener("abort", () => {});
    signal.abort();
    source.addEventListener("abort", () => void told.push("late"));
    expect(told).toEqual([]);
  }
});

test("a real signal of it aborts with it, before or after", () => {
  const cancellation = new Cancellation();
  const early = abortSignalOf(cancellation);
  expect(early.aborted).toBe(false);
  cancellation.abort();
  expect(early.aborted).toBe(true);
  expect(abortSignalOf(cancellation).aborted).toBe(true);
  expect(abortSignalOf(early)).toBe(early);
});
