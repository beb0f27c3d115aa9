import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { errorText, type RequestId } from "../lib/rpc.ts";
import type { InFlight, Put } from "./in-flight.ts";
import type { LineAnswer } from "./line-exchange.ts";
import type { LineMessage } from "./line-message.ts";
import type { LineWriter } from "./line-writer.ts";
import type { LocalSession } from "./local-session.ts";

export interface LineAnsweringOptions {
  readonly inFlight: Pick<InFlight, "put" | "has" | "cancel">;
  readonly session: LocalSession;
  readonly writer: Pick<LineWriter, "write">;
  refuse(error: PortcullisError): Promise<void>;
  readonly log: Log;
}

/** Answers messages; what follows an initialize belongs to its session, and waits for it. */
export function createLineAnswering(options: LineAnsweringOptions): (message: LineMessage) => Promise<void> {
  const { inFlight, session, writer, refuse, log } = options;
  /** An initialize on its way. */
  let opening: Promise<unknown> = Promise.resolve();

  async function answer(message: LineMessage): Promise<void> {
    if (message.method === "notifications/cancelled" && inFlight.cancel(message)) return;
    // Told without the id, whose answer is still to come.
    if (message.kind === "request" && inFlight.has(message.id))
      return refuse(new PortcullisError("id_in_use"));
    const lost = session.id;
    let put = await inFlight.put(message);
    if (saysSessionUnknown(put.answer) && (await session.renew(lost))) put = await inFlight.put(message);
    if (message.method === "initialize") session.opened(message, put.answer);
    if (message.method === "notifications/initialized") session.listen();
    await tell(message, put);
  }

  /** Only requests are answered, and what is no message at all. */
  async function tell({ kind, id }: LineMessage, { answer, isAnswered }: Put): Promise<void> {
    if (kind === "notification" || kind === "response") {
      if (answer.status >= 400) log.debug({ status: answer.status }, "a message was refused");
    } else if (!isAnswered) {
      const nothing = errorText(id, new PortcullisError("cancelled", { reason: "no answer" }));
      await writer.write(answer.text === "" ? nothing : withId(answer.text, id));
    }
  }

  return (message) => {
    const answered = opening.then(() => answer(message));
    if (message.method === "initialize") opening = answered.catch(() => {});
    return answered;
  };
}

function saysSessionUnknown({ status, text }: LineAnswer): boolean {
  return status === 404 && text !== "" && codeIn(text) === "session_unknown";
}

function codeIn(text: string): unknown {
  const { error } = JSON.parse(text);
  return isJsonObject(error) && isJsonObject(error.data) ? error.data.code : undefined;
}

/** A refusal before the message was read does not know whose it is. */
function withId(text: string, id: RequestId | null): string {
  const { error, ...rest } = JSON.parse(text);
  return error === undefined || rest.id === id ? text : JSON.stringify({ ...rest, id, error });
}
