import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Exchange, Refusal } from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { errorText, type RequestId } from "../lib/rpc.ts";
import { BODY_VALUES, parseStrict } from "../lib/strict-json.ts";
import { failBody, readBody } from "./body.ts";
import { clientIpOf } from "./client-ip.ts";
import { NodeExchange } from "./exchange.ts";
import { createHeadCheck } from "./head.ts";
import { checkAccept, checkContent } from "./headers.ts";
import type { HostOriginOptions } from "./host-origin.ts";
import { sendJson } from "./reply.ts";

export interface EdgeLimits {
  /** Bytes. */
  readonly body: number;
  /** Levels of nesting. */
  readonly depth: number;
  /** Between comments on a silent event stream. */
  readonly keepalive_ms?: number;
}

export interface McpOptions extends HostOriginOptions {
  handle(exchange: Exchange): Promise<void>;
  hasServer(name: string): boolean;
  /** Records a refusal; the answer waits for it. */
  onRefusal(refusal: Refusal): Promise<void>;
  readonly limits: EdgeLimits;
  readonly log: Log;
}

/** The MCP route as a plain Node handler, the same whether Express stands before it or not. */
export interface McpRoute {
  /**
   * Answers the request if it is for `/mcp/<name>`, else returns false and leaves it alone. One that comes behind a
   * refusal with which its connection ends is dropped, whoever it is for.
   */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
  /** Refuses a request that no route took. */
  refuse(request: IncomingMessage, response: ServerResponse, error: PortcullisError): Promise<void>;
  /** Tells the request being served on this connection, if any, what befell it. */
  interrupt(socket: Duplex, error: PortcullisError): boolean;
  /** From now on every request is refused. */
  drain(): void;
}

/** A request for the MCP route, as its target says. */
interface Asked {
  /** The virtual server, or "" where the request named none. */
  readonly server: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** What a connection is busy with. */
interface Serving {
  readonly response: ServerResponse;
  readonly refused: boolean;
}

const TARGET = /^\/mcp\/([A-Za-z0-9_-]{1,64})(?:\?.*)?$/;
const VERBS: ReadonlySet<string> = new Set(["POST", "GET", "DELETE"]);

/** Proxies cut a stream that is silent for about two minutes, some for less. */
const KEEPALIVE_MS = 15_000;

/** How long a refused client may go on sending, so that it can read the answer before its connection goes. */
const LINGER_MS = 1000;

export function createMcpRoute(options: McpOptions): McpRoute {
  const { limits, log } = options;
  const checkHead = createHeadCheck(options);
  const serving = new WeakMap<Duplex, Serving>();
  /** Connections that end with a refusal. What came with it in one packet is parsed all the same, and is no request. */
  const over = new WeakSet<Duplex>();
  /** Connections with a request that waits until the answer before it is out. */
  const behind = new WeakSet<Duplex>();
  let draining = false;

  async function serve(asked: Asked) {
    const { server, request, response } = asked;
    let verb: Exchange["verb"] | "preflight";
    let body: Json | undefined;
    try {
      verb = check(asked);
      if (verb === "preflight") return;
      if (verb === "POST")
        body = parseStrict(await readBody(request, limits.body), {
          maxDepth: limits.depth,
          maxValues: BODY_VALUES,
        });
    } catch (thrown) {
      return refuse(asked, toPortcullisError(thrown));
    }
    const exchange = new NodeExchange({
      server,
      verb,
      request,
      response,
      body,
      keepAliveMs: limits.keepalive_ms ?? KEEPALIVE_MS,
    });
    try {
      await options.handle(exchange);
      if (!response.headersSent && !response.destroyed)
        throw new PortcullisError("internal", { reason: "no answer" });
    } catch (thrown) {
      fail(response, idOf(body), toPortcullisError(thrown));
    }
  }

  function check({ server, request, response }: Asked): Exchange["verb"] | "preflight" {
    const origin = checkHead(request);
    if (origin !== undefined) allowOrigin(response, origin);
    if (draining) throw new PortcullisError("shutting_down", { headers: { Connection: "close" } });
    if (!options.hasServer(server)) throw new PortcullisError("not_found_path");
    const verb = request.method ?? "";
    if (origin !== undefined && verb === "OPTIONS" && request.headers["access-control-request-method"]) {
      answerPreflight(request, response);
      return "preflight";
    }
    if (!isVerb(verb))
      throw new PortcullisError("method_not_allowed", { headers: { Allow: "POST, GET, DELETE" } });
    checkAccept(request, verb);
    if (verb === "POST") checkContent(request);
    return verb;
  }

  async function refuse({ server, request, response }: Asked, error: PortcullisError) {
    if (error.code === "internal") log.error({ err: error }, "the edge failed");
    const { socket } = request;
    if (!isBehind(response)) serving.set(socket, { response, refused: true });
    if (error.headers.Connection === "close") over.add(socket);
    await record(options, { server, code: error.code, clientIp: clientIpOf(socket), reason: error.reason });
    sendJson(response, error.row.http, errorText(null, error), error.headers);
    if (request.complete) return;
    request.resume();
    setTimeout(() => request.complete || request.destroy(), LINGER_MS).unref();
  }

  /** The gate has recorded what it decided; this only answers what it threw. */
  function fail(response: ServerResponse, id: RequestId | null, error: PortcullisError): void {
    if (error.code === "internal") log.error({ err: error }, "a request failed");
    if (response.headersSent) response.destroy();
    else sendJson(response, error.row.http, errorText(id, error), error.headers);
  }

  /** Whoever goes on behind an answer that is still coming has no end: each request waits in memory for its turn. */
  function drop({ socket }: IncomingMessage): true {
    if (serving.get(socket)?.refused === false) socket.destroy();
    return true;
  }

  function begin(asked: Asked): void {
    serving.set(asked.request.socket, { response: asked.response, refused: false });
    watched(asked, serve(asked));
  }

  function watched({ request: { socket }, response }: Asked, answered: Promise<void>): void {
    answered
      .catch((err: unknown) => {
        log.error({ err }, "an answer could not be sent");
        response.destroy();
      })
      .finally(() => done(socket, response));
  }

  function done(socket: Duplex, response: ServerResponse): void {
    if (serving.get(socket)?.response === response) serving.delete(socket);
  }

  return {
    handle(request, response) {
      const { socket } = request;
      if (over.has(socket)) return drop(request);
      const match = TARGET.exec(targetOf(request));
      if (match === null) return false;
      const asked = { server: match[1] as string, request, response };
      if (!isBehind(response)) begin(asked);
      else if (behind.has(socket)) watched(asked, refuse(asked, pipelined()));
      else {
        behind.add(socket);
        response.once("socket", () => {
          behind.delete(socket);
          begin(asked);
        });
      }
      return true;
    },
    refuse: (request, response, error) =>
      refuse({ server: "", request, response }, error).finally(() => done(request.socket, response)),
    interrupt(socket, error) {
      const current = serving.get(socket);
      if (current === undefined) return false;
      if (failBody(socket, error)) return true;
      // A refusal on its way is the answer to this as well.
      if (current.refused) current.response.shouldKeepAlive = false;
      else socket.destroy();
      return true;
    },
    drain() {
      draining = true;
    },
  };
}

/**
 * The answer before it on its connection is not out, which over TLS it may be a moment after its client has it. Node never
 * tells an answer that waits so that its client has gone: what it was counted among would have it for ever.
 */
function isBehind({ socket }: ServerResponse): boolean {
  return socket === null;
}

function pipelined(): PortcullisError {
  return new PortcullisError("request_pipelined", { headers: { Connection: "close" } });
}

/** A refusal stands even where it cannot be recorded. */
export async function record(
  { onRefusal, log }: Pick<McpOptions, "onRefusal" | "log">,
  refusal: Refusal,
): Promise<void> {
  try {
    await onRefusal(refusal);
  } catch (err) {
    log.error({ err, code: refusal.code }, "a refusal could not be recorded");
  }
}

/** What Express adds to a request. */
interface Mounted {
  readonly originalUrl?: string;
  readonly baseUrl?: string;
}

/** The target as it was sent, below the path that a host application mounted us at. Nothing is normalised. */
function targetOf(request: IncomingMessage & Mounted): string {
  const { originalUrl = request.url ?? "", baseUrl = "" } = request;
  return originalUrl.startsWith(baseUrl) ? originalUrl.slice(baseUrl.length) : "";
}

function isVerb(method: string): method is Exchange["verb"] {
  return VERBS.has(method);
}

function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader("Access-Control-Allow-Origin", origin);
  response.setHeader("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate");
  response.setHeader("Vary", "Origin");
}

function answerPreflight({ headers }: IncomingMessage, response: ServerResponse): void {
  response.writeHead(204, {
    "Access-Control-Allow-Methods": "POST, GET, DELETE",
    "Access-Control-Allow-Headers": headers["access-control-request-headers"] ?? "",
    "Access-Control-Max-Age": "600",
  });
  response.end();
}

function idOf(body: Json | undefined): RequestId | null {
  const id = isJsonObject(body) ? body.id : null;
  return typeof id === "string" || typeof id === "number" ? id : null;
}
