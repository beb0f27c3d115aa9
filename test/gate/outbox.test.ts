import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Exchange } from "../../src/domain.ts";
import { createOutboxes, requestOf } from "../../src/gate/outbox.ts";
import { Cancellation } from "../../src/lib/cancellation.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** One answer that was begun, and how its connection is lost. */
async function answering(request: number | string = 1) {
  let lose = () => {};
  const signal = new Cancellation();
  const exchange = {
    signal,
    outlive(gone: () => void) {
      lose = gone;
    },
    cancel: () => signal.abort(),
  } as Partial<Exchange> as Exchange;
  const replicas = { node: "a", ask: async () => ({}), serve() {} };
  const kept: { stream: string; text: string }[] = [];
  const append = async (_session: string, stream: string, text: string) => `${kept.push({ stream, text })}`;
  const outboxes = createOutboxes({ append }, replicas, () => "id");
  const outbox = outboxes.open("session", request, exchange);
  await outbox.remember("{}");
  const cancelled = () => signal.aborted;
  return { outbox, outboxes, kept, lose: () => lose(), cancel: exchange.cancel, cancelled };
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

test("a stream is followed in its own session alone, and by nobody once it is whole", async () => {
  const { outbox, outboxes, kept } = await answering();
  const stream = kept[0]?.stream ?? "";
  const { signal } = new AbortController();
  let news = 0;
  const tell = () => {
    news += 1;
  };
  // It has nothing to follow, so it is done at once.
  await outboxes.follow({ session: "another", stream }, tell, signal);
  const following = outboxes.follow({ session: "session", stream }, tell, signal);
  await outbox.remember("{}");
  expect(news).toBe(1);
  outbox.done();
  await following;
  await outboxes.follow({ session: "session", stream }, tell, signal);
});

test("what would push all else of its session out of what is kept is not kept", async () => {
  const { outbox, kept } = await answering();
  expect(await outbox.remember("x".repeat(256 << 10))).toBe("2");
  expect(await outbox.remember("x".repeat((256 << 10) + 1))).toBeUndefined();
  expect(kept).toHaveLength(2);
});

test("nothing is kept of an answer that was cancelled: its session may be over", async () => {
  const { outbox, kept, cancel } = await answering();
  cancel();
  expect(await outbox.remember("{}")).toBeUndefined();
  expect(kept).toHaveLength(1);
});

test("a stream is named by what it answers, where an event's id has room for that", async () => {
  const nameFor = async (request: number | string) => (await answering(request)).kept[0]?.stream ?? "";
  for (const request of [7, "seven"]) expect(requestOf(await nameFor(request))).toBe(request);
  const long = await nameFor("x".repeat(1000));
  expect([requestOf(long), long.length < 40]).toEqual([undefined, true]);
});
