import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Exchange } from "../../src/domain.ts";
import { createOutboxes } from "../../src/gate/outbox.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** One answer that was begun, and how its connection is lost. */
async function answering() {
  let lose = () => {};
  let cancelled = false;
  const exchange = {
    outlive(gone: () => void) {
      lose = gone;
    },
    cancel() {
      cancelled = true;
    },
  } as Exchange;
  const replicas = { node: "a", ask: async () => ({}), serve() {} };
  const outboxes = createOutboxes({ append: async () => "1" }, replicas, () => "id");
  const outbox = outboxes.open("session", 1, exchange);
  await outbox.remember("{}");
  return { outbox, outboxes, lose: () => lose(), cancelled: () => cancelled };
}

test("work whose connection is lost goes on for a while, and then ends", async () => {
  const { outboxes, lose, cancelled } = await answering();
  lose();
  expect([cancelled(), outboxes.size]).toEqual([false, 1]);
  vi.advanceTimersByTime(10_000);
  expect(cancelled()).toBe(true);
});

test("a connection that is lost after its answer was whole holds nothing", async () => {
  const { outbox, outboxes, lose } = await answering();
  outbox.done();
  lose();
  expect([vi.getTimerCount(), outboxes.size]).toEqual([0, 0]);
});
