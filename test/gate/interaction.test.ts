import { expect, test } from "vitest";
import type { Question } from "../../src/domain.ts";
import { declares } from "../../src/gate/interaction.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const asks = (kind: Question["kind"], params: JsonObject = {}) => ({ kind, params: JSON.stringify(params) });

test.each<[JsonObject | null, boolean, boolean]>([
  [null, false, false],
  [{}, false, false],
  [{ sampling: {} }, false, false],
  [{ elicitation: true }, false, false],
  [{ elicitation: {} }, true, false],
  [{ elicitation: { form: {} } }, true, false],
  [{ elicitation: { url: {} } }, false, true],
  [{ elicitation: { url: true } }, false, false],
  [{ elicitation: { form: {}, url: {} } }, true, true],
])("a client that declares %j is shown a form: %s, a page to open: %s", (capabilities, form, page) => {
  expect(declares(capabilities, asks("elicitation"))).toBe(form);
  expect(declares(capabilities, asks("elicitation", { mode: "url" }))).toBe(page);
});

test("what one declares for one kind of question opens no other", () => {
  for (const kind of ["sampling", "roots", "elicitation"] as const)
    expect(declares({ [kind]: {} }, asks(kind))).toBe(true);
  expect(declares({ elicitation: {} }, asks("sampling"))).toBe(false);
  expect(declares({ sampling: {} }, asks("roots"))).toBe(false);
});
