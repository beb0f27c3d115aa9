import type { Express } from "express";
import { type AppOptions, createApp } from "./app.ts";
import { type Listening, type ListenLimits, listen } from "./listen.ts";
import { createMcpRoute, type McpOptions, type McpRoute } from "./mcp.ts";

export type { Handler, Mount } from "./app.ts";
export type { Listening } from "./listen.ts";

export type HttpOptions = McpOptions & AppOptions & { readonly limits: ListenLimits };

export interface Http {
  /** Everything, as one Express app for anyone's Express app. */
  readonly app: Express;
  /** The MCP route alone, as a plain Node handler; false: the request is for someone else. */
  readonly mcp: McpRoute["handle"];
  /** Port 0: any free port. */
  listen(host: string, port: number): Promise<Listening>;
}

/** The HTTP edge: bytes become an `Exchange`, or a recorded refusal that never reaches `handle`. */
export function createHttp(options: HttpOptions): Http {
  const mcp = createMcpRoute(options);
  const app = createApp(mcp, options);
  return { app, mcp: mcp.handle, listen: (host, port) => listen({ mcp, app, options }, host, port) };
}
