import { setTimeout as sleep } from "node:timers/promises";
import type { Exchange } from "../domain.ts";
import { isJsonObject } from "../lib/json.ts";
import { type Asked, ask, type LineAnswer, type LineRequest } from "./line-exchange.ts";
import { type LineMessage, messageOf } from "./line-message.ts";

interface LocalSessionOptions {
  handle(exchange: Exchange): Promise<void>;
  readonly server: string;
  /** What the server sends of itself. */
  onEvent(text: string): Promise<void>;
}

/** The legacy session that a client over stdio never hears of: it is one line, so it has one session at a time. */
export interface LocalSession {
  readonly id: string | undefined;
  /** What a legacy client over HTTP would send with this message. */
  headers(method: string): ReadonlyMap<string, string>;
  /** Takes up what an initialize was answered. */
  opened(message: LineMessage, answer: LineAnswer): void;
  /** Begins another in place of one that the gateway has let go, as the client once began it; false: it never did. */
  renew(lost: string | undefined): Promise<boolean>;
  /** Hears what the server sends of itself, if it does, until `close`. */
  listen(): void;
  close(): Promise<void>;
}

const AGAIN_MS = 1000;
const INITIALIZED = messageOf({ jsonrpc: "2.0", method: "notifications/initialized" });

export function createLocalSession({ handle, server, onEvent }: LocalSessionOptions): LocalSession {
  let id: string | undefined;
  let version: string | undefined;
  let initialize: LineMessage | undefined;
  let renewing: Promise<boolean> | undefined;
  let leaveStream: (() => void) | undefined;
  let lastEvent: string | undefined;
  let closed = false;

  function headers(method: string): ReadonlyMap<string, string> {
    const sent = new Map<string, string>();
    if (method === "initialize") return sent;
    if (id !== undefined) sent.set("mcp-session-id", id);
    if (version !== undefined) sent.set("mcp-protocol-version", version);
    return sent;
  }

  function put(verb: Exchange["verb"], message?: LineMessage, more: Partial<LineRequest> = {}): Asked {
    const none = async () => {};
    const sent = { server, verb, body: message?.body, id: null, onEvent: none, ...more };
    return ask(handle, { headers: headers(message?.method ?? ""), ...sent });
  }

  function opened(message: LineMessage, answer: LineAnswer): void {
    const name = Object.keys(answer.headers).find((one) => one.toLowerCase() === "mcp-session-id");
    if (answer.status !== 200 || answer.text === "" || name === undefined) return;
    id = answer.headers[name];
    version = versionIn(answer.text);
    initialize = message;
    lastEvent = undefined;
  }

  async function begin(message: LineMessage): Promise<boolean> {
    const before = id;
    let text = "";
    const onEvent = async (event: string) => {
      text = event;
    };
    const answer = await put("POST", message, { onEvent }).answered;
    opened(message, { ...answer, text: answer.text || text });
    if (id === before) return false;
    await put("POST", INITIALIZED).answered;
    listen();
    return true;
  }

  /** The stream is opened again when it ends; a refusal means that there is none. */
  async function hear(): Promise<void> {
    while (!closed) {
      const asked = put("GET", undefined, {
        headers: new Map([...headers(""), ...(lastEvent === undefined ? [] : [resumeAfter(lastEvent)])]),
        onEvent(text, eventId) {
          lastEvent = eventId ?? lastEvent;
          return onEvent(text);
        },
      });
      leaveStream = asked.leave;
      const { wasStream } = await asked.answered;
      if (closed || !wasStream) return;
      await sleep(AGAIN_MS, undefined, { ref: false });
    }
  }

  function listen(): void {
    if (leaveStream !== undefined || closed) return;
    leaveStream = () => {};
    hear()
      .catch(() => {})
      .finally(() => {
        leaveStream = undefined;
      });
  }

  return {
    get id() {
      return id;
    },
    headers,
    opened,
    async renew(lost) {
      if (id !== lost) return true;
      if (initialize === undefined) return false;
      renewing ??= begin(initialize).finally(() => {
        renewing = undefined;
      });
      return renewing;
    },
    listen,
    async close() {
      closed = true;
      leaveStream?.();
      if (id !== undefined) await put("DELETE").answered;
    },
  };
}

function resumeAfter(eventId: string): [string, string] {
  return ["last-event-id", eventId];
}

function versionIn(text: string): string | undefined {
  const { result } = JSON.parse(text);
  return isJsonObject(result) && typeof result.protocolVersion === "string"
    ? result.protocolVersion
    : undefined;
}
