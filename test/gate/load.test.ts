import { expect, test } from "vitest";
import type { Who } from "../../src/domain.ts";
import { createLoad, type Slot } from "../../src/gate/load.ts";

const LIMITS = { inFlight: 5, perTenant: 3, perUser: 2 };
const aSlot = (): Slot => ({ isIn: false, who: null });
const who = (tenant: string, person: string): Who => ({ tenant, user: person, person });

/** A gate with these limits, and how a request is let in. */
function opened() {
  const load = createLoad(LIMITS);
  const enter = (by?: Who): Slot => {
    const slot = aSlot();
    try {
      load.enter(slot);
      if (by !== undefined) load.admit(slot, by);
    } catch (thrown) {
      load.leave(slot);
      throw thrown;
    }
    return slot;
  };
  return { load, enter };
}

test("requests past the limit are refused, also before anybody knows whose they are, until one is over", () => {
  const { load, enter } = opened();
  const slots = Array.from({ length: LIMITS.inFlight }, () => enter());
  expect(() => enter()).toThrow(expect.objectContaining({ code: "overloaded" }));
  load.leave(slots[0] ?? aSlot());
  enter();
  expect(() => enter()).toThrow(expect.objectContaining({ code: "overloaded" }));
});

test("a user's share is of all their runs, a tenant's of all its users, and neither is another's", () => {
  const { load, enter } = opened();
  const ann = who("acme", "ann");
  const slots = [enter(ann), enter({ ...ann, user: "a run of ann's" })];
  expect(() => enter(ann)).toThrow(expect.objectContaining({ code: "overloaded" }));
  enter(who("acme", "bob"));
  expect(() => enter(who("acme", "cho"))).toThrow(expect.objectContaining({ code: "overloaded" }));
  enter(who("globex", "dee"));
  load.leave(slots[0] ?? aSlot());
  enter(ann);
});

test("who leaves twice, or was never let in, makes no room for anybody", () => {
  const { load, enter } = opened();
  const slots = Array.from({ length: LIMITS.inFlight }, () => enter());
  load.leave(aSlot());
  expect(() => enter()).toThrow(expect.objectContaining({ code: "overloaded" }));
  load.leave(slots[0] ?? aSlot());
  load.leave(slots[0] ?? aSlot());
  enter();
  expect(() => enter()).toThrow(expect.objectContaining({ code: "overloaded" }));
});
