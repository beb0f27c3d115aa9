import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Express } from "express";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { maxOpenFiles } from "../lib/open-files.ts";
import { errorText } from "../lib/rpc.ts";
import { clientIpOf } from "./client-ip.ts";
import { watchConnections } from "./connections.ts";
import { checkUnambiguous } from "./headers.ts";
import { type McpOptions, type McpRoute, record } from "./mcp.ts";

export interface ListenLimits {
  /** Connections that are open at once; default: as many as leave half of the process's files to itself, at most 10,000. */
  readonly connections?: number | undefined;
  /** The longest wait for a request's head. */
  readonly header_ms: number;
  /** The longest wait for its body after that. */
  readonly body_ms: number;
}

export interface Listening {
  readonly port: number;
  /** Stops accepting, lets requests in flight end within `deadlineMs`, then cuts them. */
  close(deadlineMs: number): Promise<void>;
}

type ServerOptions = Pick<McpOptions, "onRefusal" | "log"> & { readonly limits: ListenLimits };

/** A server with the MCP route ahead of the app: Express's router costs as much as forwarding a call. */
export async function listen(
  { mcp, app, options }: { mcp: McpRoute; app: Express; options: ServerOptions },
  host: string,
  port: number,
): Promise<Listening> {
  const { connections: max = defaultConnections(), header_ms, body_ms } = options.limits;
  const server = createServer(
    {
      headersTimeout: header_ms,
      requestTimeout: header_ms + body_ms,
      connectionsCheckingInterval: Math.min(1000, Math.ceil(header_ms / 4)),
      keepAliveTimeout: 30_000,
      // Refused by the edge instead, with a record.
      requireHostHeader: false,
    },
    (request, response) => {
      connections.asked(request.socket, response);
      response.on("timeout", cutStalled);
      if (mcp.handle(request, response)) return;
      const misframed = faultOf(request);
      if (misframed !== undefined) return refuse(request, response, misframed);
      app(request as never, response as never, () =>
        refuse(request, response, new PortcullisError("not_found_path")),
      );
    },
  );
  const refuse = (request: IncomingMessage, response: ServerResponse, error: PortcullisError): void => {
    mcp
      .refuse(request, response, error)
      .catch((err: unknown) => options.log.error({ err }, "a refusal failed"));
  };
  server.timeout = header_ms + body_ms;
  const connections = watchConnections(server, max, options.log);
  server.on("checkExpectation", (request, response) => {
    refuse(request, response, new PortcullisError("header_malformed", { reason: "Expect" }));
  });
  // A proxy's method, with no path for a route: Node would close the connection without a word.
  server.on("connect", (_request, socket: Socket) => {
    // Node took its own listener away: a reset would end the process.
    socket.on("error", () => socket.destroy());
    const refused = new PortcullisError("method_not_allowed", { headers: { Connection: "close" } });
    refuseConnection(options, socket, refused).catch(() => socket.destroy());
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    const refused = refusalOf(error);
    if (refused === undefined || socket.destroyed) socket.destroy();
    else if (!mcp.interrupt(socket, refused))
      refuseConnection(options, socket, refused).catch(() => socket.destroy());
  });
  await listening(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close(deadlineMs) {
      mcp.drain();
      connections.endUnasked();
      return closeWithin(server, deadlineMs);
    },
  };
}

function defaultConnections(): number {
  return Math.min(10_000, Math.ceil(maxOpenFiles() / 2));
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void =>
      reject(new PortcullisError("listen_failed", { reason: cause.message, cause }));
    server.once("error", fail).listen(port, host, () => {
      server.off("error", fail);
      resolve();
    });
  });
}

/** The MCP route judges for itself; on one connection a request that two readers frame differently is any route's. */
function faultOf(request: IncomingMessage): PortcullisError | undefined {
  try {
    checkUnambiguous(request);
    return undefined;
  } catch (thrown) {
    return toPortcullisError(thrown);
  }
}

/** A silent connection may wait for its answer; one that takes nothing of it would be held, with the answer, for ever. */
function cutStalled(socket: Socket): void {
  if (socket.writableLength > 0) socket.destroy();
}

/** What a connection's failure means, or undefined where nothing was asked. */
function refusalOf({ code = "" }: NodeJS.ErrnoException): PortcullisError | undefined {
  const headers = { Connection: "close" };
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return new PortcullisError("request_timeout", { headers });
  if (code === "HPE_INVALID_EOF_STATE") return new PortcullisError("body_incomplete", { headers });
  // The parser's own verdict; anything else is the network's.
  return code.startsWith("HPE_")
    ? new PortcullisError("header_malformed", { headers, reason: code })
    : undefined;
}

/** Answers bytes that never became a request. */
async function refuseConnection(
  options: ServerOptions,
  socket: Socket,
  error: PortcullisError,
): Promise<void> {
  await record(options, { server: "", code: error.code, clientIp: clientIpOf(socket), reason: error.reason });
  const { http } = error.row;
  const text = errorText(null, error);
  const head = [
    `HTTP/1.1 ${http} ${STATUS_CODES[http]}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    "Cache-Control: no-store",
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`, () => socket.destroy());
}

function closeWithin(server: Server, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    // A connection kept alive turns idle when its last answer is out.
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    const cut = setTimeout(() => server.closeAllConnections(), deadlineMs);
    server.close(() => {
      clearInterval(sweep);
      clearTimeout(cut);
      resolve();
    });
  });
}
