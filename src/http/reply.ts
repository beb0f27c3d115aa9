import type { ServerResponse } from "node:http";
import type { EventStream, Reply } from "../domain.ts";
import { inOneLine } from "../lib/lines.ts";

type Headers = Readonly<Record<string, string>>;

/** On every answer: it is one caller's, and never to be taken for a page. */
export const ANSWER_HEADERS = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" } as const;

export function sendJson(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Headers = {},
): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
    ...ANSWER_HEADERS,
    ...headers,
  });
  response.end(text);
}

/** What is sent to a client that has gone is dropped. */
export function createReply(response: ServerResponse, keepAliveMs: number): Reply {
  return {
    json(status, text, headers) {
      sendJson(response, status, text, headers);
    },
    empty(status, headers) {
      if (response.destroyed) return;
      response.writeHead(status, { ...ANSWER_HEADERS, ...headers }).end();
    },
    stream(headers) {
      return createEventStream(response, keepAliveMs, headers);
    },
  };
}

const TAKEN = Promise.resolve();

/** Bytes that are kept for a reader that does not keep up; beside them one message, however long. */
const MAX_BUFFERED = 4 << 20;

function createEventStream(
  response: ServerResponse,
  keepAliveMs: number,
  headers: Headers = {},
): EventStream {
  if (!response.destroyed) {
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "X-Accel-Buffering": "no",
      ...ANSWER_HEADERS,
      ...headers,
    });
    response.flushHeaders();
  }
  let drained: Promise<void> | undefined;
  let stalled = false;
  const beat = setInterval(() => {
    // Proxies cut a silent stream; a reader that took nothing for a whole beat is gone in all but name.
    if (!response.writableNeedDrain) response.write(": keep-alive\n\n");
    else if (stalled) response.destroy();
    stalled = response.writableNeedDrain;
  }, keepAliveMs).unref();
  const closed = new Promise<void>((resolve) => {
    if (response.destroyed) resolve();
    response.once("close", () => {
      clearInterval(beat);
      resolve();
    });
  });

  return {
    closed,
    send(text, eventId) {
      if (response.destroyed || response.writableEnded) return TAKEN;
      if (response.writableLength > MAX_BUFFERED) {
        response.destroy();
        return TAKEN;
      }
      if (response.write(eventText(text, eventId))) return TAKEN;
      drained ??= untilDrained(response).finally(() => {
        drained = undefined;
      });
      return drained;
    },
    end() {
      clearInterval(beat);
      if (!response.destroyed) response.end();
    },
  };
}

/** Milliseconds after which a client should ask again for a stream that broke. */
const RETRY_MS = 1000;

/**
 * One server-sent event. Without text it only tells the client from where it can resume (MCP 2025-11-25, Sending
 * Messages to the Server); clients of earlier revisions take empty data for a broken message and must not get one.
 */
function eventText(text: string, eventId: string | undefined): string {
  if (eventId === undefined) return `event: message\ndata: ${inOneLine(text)}\n\n`;
  if (text === "") return `id: ${eventId}\nretry: ${RETRY_MS}\ndata: \n\n`;
  return `event: message\nid: ${eventId}\ndata: ${inOneLine(text)}\n\n`;
}

function untilDrained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
