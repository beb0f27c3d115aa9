import { expect, test } from "vitest";
import type { Target } from "../../src/domain.ts";
import { createSchemas } from "../../src/gate/schemas.ts";

function resource(number: number): Target {
  const name = `note://${number}`;
  return {
    upstream: "crm",
    kind: "resource",
    name,
    exposedName: name,
    labels: [],
    announced: {},
    inputSchema: { type: "object" },
    definition: new Map(),
    digest: name,
  } as unknown as Target;
}

test("a client that asks for ever new URIs cannot fill the gateway with a policy's mistakes", () => {
  const schemas = createSchemas();
  const by = { tenant: "acme", revision: { platform: "p", tenant: "" } };
  const asked = Array.from({ length: 3000 }, (_, number) => resource(number));
  for (const target of asked) schemas.mistaken(target, by, ["a grant is malformed"]);
  const notes = schemas.notes(asked, () => true);
  expect(notes).toHaveLength(1000);
  expect(notes.at(-1)).toEqual({
    target: "crm: note://2999",
    note: "policy for acme: a grant is malformed",
    mistake: true,
  });
});
