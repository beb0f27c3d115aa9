import type { IncomingMessage, ServerResponse } from "node:http";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { errorText } from "../lib/rpc.ts";
import { createHostOriginChecks, type HostOriginOptions } from "./host-origin.ts";
import type { McpRoute } from "./mcp.ts";
import { ANSWER_HEADERS, sendJson } from "./reply.ts";

/** A plain Node handler; `next` hands on what it does not answer. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void | Promise<void>;

/** A route under its path: `/` for one that knows its paths itself. */
export interface Mount {
  readonly path: string;
  readonly handler: Handler;
}

export interface AppOptions extends HostOriginOptions {
  /** Further routes: token metadata, the authorization server. */
  readonly mounts: readonly Mount[];
  /** Why the gateway cannot serve; empty when it can. */
  ready(): readonly string[];
  /** Prometheus text. */
  metrics(): Promise<string>;
  readonly log: Log;
}

type Mcp = Pick<McpRoute, "handle" | "refuse">;

/** A complete Express app, MCP route included. What it does not know it hands on, so it can be mounted anywhere. */
export function createApp(mcp: Mcp, options: AppOptions): Express {
  const app = express();
  const checks = createHostOriginChecks(options);
  app.disable("x-powered-by").disable("etag");
  app.enable("case sensitive routing").enable("strict routing");
  app.use((request, response, next) => {
    if (!mcp.handle(request, response)) next();
  });
  // Any Host: a probe sends the pod's address, and neither answer is worth a page's while.
  app.get("/healthz", (_, response) => sendJson(response, 200, '{"ok":true}'));
  app.get("/readyz", (_, response) => {
    const reasons = options.ready();
    const ok = reasons.length === 0;
    sendJson(response, ok ? 200 : 503, JSON.stringify({ ok, reasons }));
  });
  app.get("/metrics", async (request, response) => {
    try {
      checks.checkName(request);
    } catch (thrown) {
      return mcp.refuse(request, response, toPortcullisError(thrown));
    }
    response
      .set(ANSWER_HEADERS)
      .type("text/plain; version=0.0.4")
      .send(await options.metrics());
  });
  for (const { path, handler } of options.mounts) app.use(path, handler);
  app.use((thrown: unknown, _: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(thrown);
    // Express throws on a path that does not decode: such a path is not served.
    const error = new PortcullisError(thrown instanceof URIError ? "not_found_path" : "internal", {
      cause: thrown,
    });
    if (error.code === "internal") options.log.error({ err: thrown }, "a route failed");
    sendJson(response, error.row.http, errorText(null, error));
  });
  return app;
}
