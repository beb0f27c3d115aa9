import { expect, test } from "vitest";
import { type Turn, turnFromJson, turnToJson } from "../../src/gate/turn.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const handedOn = (turn: Turn) => turnFromJson(JSON.parse(JSON.stringify(turnToJson(turn))) as JsonObject);

test("a turn that another replica hands on is the same turn", () => {
  const answer = { kind: "result", text: '{"content":[]}', isError: false, era: "legacy" } as const;
  const question = { kind: "roots", method: "roots/list", params: "{}" } as const;
  const questions = new Map([["question-1", question]]);
  for (const turn of [
    { kind: "answer", answer },
    { kind: "questions", questions, state: { kind: "held" } },
  ] as const)
    expect(handedOn(turn)).toEqual(turn);
  const failure = { text: "Ask again.", reason: "why", data: { requiredCapabilities: {} } };
  const error = new PortcullisError("capability_missing", failure);
  expect(handedOn({ kind: "failure", error })).toMatchObject({ error: { code: error.code, ...failure } });
});

test("a failure of a code that only a newer replica knows is one of ours all the same", () => {
  const turn = turnFromJson({ kind: "failure", code: "of_tomorrow", text: "Something new.", reason: "" });
  expect(turn).toMatchObject({ kind: "failure", error: { code: "internal", row: { http: 500 } } });
});
