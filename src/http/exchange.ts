import type { IncomingMessage, ServerResponse } from "node:http";
import type { Exchange, Reply } from "../domain.ts";
import { Cancellation } from "../lib/cancellation.ts";
import type { Json } from "../lib/json.ts";
import { clientIpOf } from "./client-ip.ts";
import { createReply } from "./reply.ts";

export interface ExchangeOptions {
  readonly server: string;
  readonly verb: Exchange["verb"];
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Json | undefined;
  readonly keepAliveMs: number;
}

/** The exchange that the gate works on. A class, since one is made for every call and most parts are seldom asked. */
export class NodeExchange implements Exchange {
  readonly server: string;
  readonly verb: Exchange["verb"];
  readonly body: Json | undefined;
  readonly reply: Reply;
  readonly clientIp: string;
  readonly signal = new Cancellation();
  readonly #headers: IncomingMessage["headers"];
  #gone: () => void = () => this.cancel();
  #isOver = false;
  #over: () => void = () => {};

  constructor({ server, verb, request, response, body, keepAliveMs }: ExchangeOptions) {
    this.server = server;
    this.verb = verb;
    this.body = body;
    this.reply = createReply(response, keepAliveMs);
    this.clientIp = clientIpOf(request.socket);
    this.#headers = request.headers;
    response.once("close", () => {
      if (!response.writableFinished) this.#gone();
      this.#isOver = true;
      this.#over();
    });
  }

  outlive(gone: () => void): void {
    this.#gone = gone;
  }

  whenOver(told: () => void): void {
    if (this.#isOver) told();
    else this.#over = told;
  }

  cancel(): void {
    this.signal.abort();
  }

  /** Bound, since it is handed on by itself. */
  readonly header = (name: string): string | undefined => {
    const value = this.#headers[name];
    return typeof value === "string" ? value : undefined;
  };
}
