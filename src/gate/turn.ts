import type { Question, UpstreamReply } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { errorFromJson, errorToJson } from "../protocol/replica-calls.ts";

/** What a client is told next of its request. */
export type Turn =
  | { readonly kind: "answer"; readonly answer: UpstreamReply }
  | {
      readonly kind: "questions";
      /** By the keys under which the client answers. */
      readonly questions: ReadonlyMap<string, Question>;
      /** What the client's next request must bring back, sealed, for the gateway to go on. */
      readonly state: JsonObject;
    }
  | { readonly kind: "failure"; readonly error: PortcullisError };

/** How long a turn's questions may wait: long enough for a person. Milliseconds. */
export const STATE_MS = 10 * 60_000;

/** A turn as another replica hands it on. */
export function turnToJson(turn: Turn): JsonObject {
  switch (turn.kind) {
    case "answer":
      return { kind: "answer", answer: { ...turn.answer } };
    case "questions":
      return {
        kind: "questions",
        questions: Object.fromEntries([...turn.questions].map(([key, question]) => [key, { ...question }])),
        state: turn.state,
      };
    case "failure":
      return { kind: "failure", ...errorToJson(turn.error) };
  }
}

/** Only for what another replica of this gateway sent, under its seal. */
export function turnFromJson(json: JsonObject): Turn {
  switch (json.kind) {
    case "answer":
      return { kind: "answer", answer: json.answer as unknown as UpstreamReply };
    case "questions": {
      const questions = json.questions as unknown as Readonly<Record<string, Question>>;
      return {
        kind: "questions",
        questions: new Map(Object.entries(questions)),
        state: json.state as JsonObject,
      };
    }
    default:
      return { kind: "failure", error: errorFromJson(json) };
  }
}
