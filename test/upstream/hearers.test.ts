import { expect, test } from "vitest";
import type { ListenRequest, Question } from "../../src/domain.ts";
import { createHearers } from "../../src/upstream/hearers.ts";

const QUESTION: Question = { kind: "roots", method: "roots/list", params: "{}" };
const { signal } = new AbortController();

function listener(sessionKey: string, asked: string[]): ListenRequest {
  const onQuestion = async () => {
    asked.push(sessionKey);
    return { kind: "result", text: "{}" } as const;
  };
  return {
    sessionKey,
    uris: [],
    signal,
    clientInfo: null,
    decisionId: "",
    credential: new Map(),
    onNotification() {},
    onQuestion,
  };
}

test("a question outside of any call is asked of the one who listens; where two do, of nobody", async () => {
  const asked: string[] = [];
  const { ask, listeners } = createHearers();
  listeners.set("one", listener("one", asked));
  expect(await ask(QUESTION, signal)).toEqual({ kind: "result", text: "{}" });
  listeners.set("other", listener("other", asked));
  await expect(ask(QUESTION, signal)).rejects.toMatchObject({ code: "cancelled" });
  expect(asked).toEqual(["one"]);
});
