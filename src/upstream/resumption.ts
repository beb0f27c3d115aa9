import type { Backoff } from "./watch.ts";

/** Where an event stream was left, and when to ask for the rest of it. */
export interface Resumption {
  /** Of the last event that had one that fits a header; undefined: the stream cannot be resumed. */
  readonly lastEventId: string | undefined;
  /** Tries in a row that brought nothing. */
  readonly tries: number;
  /** An event had this id. */
  saw(id: string): void;
  /** The server's `retry:` field, milliseconds. */
  retry(ms: number): void;
  /** A try brought something: the next one is the first again. */
  reached(): void;
  /** Milliseconds to wait before the next try: what the server asked for, and longer with each try in a row. */
  nextWait(): number;
}

/** However soon a server wants to be asked again. */
const SOONEST_MS = 100;

/** `id:` and `retry:` of the WHATWG event stream, kept over the exchanges that make up one stream. */
export function createResumption({ firstMs, maxMs }: Backoff): Resumption {
  let lastEventId: string | undefined;
  let retryMs: number | undefined;
  let tries = 0;
  return {
    get lastEventId() {
      return lastEventId;
    },
    get tries() {
      return tries;
    },
    saw(id) {
      lastEventId = /^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?$/.test(id) ? id : undefined;
      tries = 0;
    },
    retry(ms) {
      retryMs = Math.min(maxMs, Math.max(ms, Math.min(firstMs, SOONEST_MS)));
    },
    reached() {
      tries = 0;
    },
    nextWait() {
      const growing = Math.min(maxMs, firstMs * 2 ** tries);
      tries += 1;
      return tries === 1 ? (retryMs ?? growing) : Math.max(retryMs ?? 0, growing);
    },
  };
}
