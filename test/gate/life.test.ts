import { expect, test } from "vitest";
import type { Identity } from "../../src/domain.ts";
import { beginLife } from "../../src/gate/life.ts";
import { Cancellation } from "../../src/lib/cancellation.ts";
import { timerLists } from "../timer-lists.ts";

test("a stream that ended leaves nothing that waits for the end of its token", () => {
  const before = timerLists();
  for (let at = 0; at < 100; at += 1) {
    const exchange = new Cancellation();
    const life = beginLife({ expires: 90_000 } as Identity, { clock: () => at }, exchange);
    exchange.abort();
    expect(life.signal.aborted).toBe(true);
  }
  expect(timerLists() - before).toBeLessThan(10);
});
