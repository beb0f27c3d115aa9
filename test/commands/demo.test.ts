import { expect, test } from "vitest";
import { guideTo } from "../../src/commands/demo.ts";
import { surroundings } from "./world.ts";

const refusal = "/ticket must match the whole pattern ACME-[0-9]{1,6} (policy).";

test("what a tour prints fits a terminal of 80 columns: a refusal whole, an answer as far as it goes", () => {
  const { around, printed } = surroundings("/");
  const guide = guideTo(around);
  guide.step("ann tries", { ok: false, code: "argument_out_of_bounds", text: refusal }, true);
  guide.step("ann tries", { ok: true, code: "ok", text: "x".repeat(100) }, true);
  guide.step("ann tries", { ok: true, code: "ok", text: "one\ntwo" }, true);
  const lines = printed.out.split("\n");
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  expect(printed.out.replaceAll(/\n +/g, " ")).toContain(`argument_out_of_bounds: ${refusal}`);
  expect(lines[4]).toMatch(/^ {11}x+ …$/);
  expect(lines[6]).toBe("           one …");
});

test("a tour has colours on a terminal, and none where NO_COLOR is set", () => {
  for (const [env, coloured] of [
    [{}, true],
    [{ NO_COLOR: "1" }, false],
  ] as const) {
    const { around, printed } = surroundings("/", { env });
    Object.assign(around.stdout, { isTTY: true });
    guideTo(around).heading("Who sees what");
    expect(printed.out.includes("\u001b[")).toBe(coloured);
  }
});
