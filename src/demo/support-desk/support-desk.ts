import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  localhostHostValidation,
  localhostOriginValidation,
  toNodeHandler,
} from "@modelcontextprotocol/node";
import { createMcpHandler } from "@modelcontextprotocol/server";
import { type AssertionOptions, type Caller, createAssertionVerifier } from "./assertion.ts";
import { createTicketStore, SAMPLE_TICKETS, type TicketStore } from "./tickets.ts";
import { createDesk } from "./tools.ts";

export interface SupportDeskOptions extends AssertionOptions {
  /** 0: any free port. */
  readonly port: number;
  /** Milliseconds between the ten steps of an export. */
  readonly stepMs?: number;
}

export interface SupportDesk {
  readonly url: string;
  close(): Promise<void>;
}

const NOBODY: Caller = { subject: "", tenant: "", role: "" };
const MAX_BODY = 1024 * 1024;

/**
 * The sample upstream: a support desk on loopback that trusts the gateway's assertions and nothing else. Anyone may
 * ask what it offers; a call without a valid assertion is refused, and a caller reaches its own company's tickets only.
 */
export async function startSupportDesk({
  port,
  stepMs = 150,
  ...assertion
}: SupportDeskOptions): Promise<SupportDesk> {
  const verify = createAssertionVerifier(assertion);
  const stores = new Map(
    Object.entries(SAMPLE_TICKETS).map(([tenant, tickets]) => [tenant, createTicketStore(tickets)]),
  );
  const nothing = createTicketStore([]);
  const ticketsOf = ({ tenant }: Caller): TicketStore => stores.get(tenant) ?? nothing;
  const handler = createMcpHandler(({ authInfo }) => {
    const caller = callerOf(authInfo?.extra);
    return createDesk({ caller, tickets: ticketsOf(caller), stepMs });
  });
  const answer = toNodeHandler(handler);
  const hostIsLocal = localhostHostValidation();
  const originIsLocal = localhostOriginValidation();

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!hostIsLocal(request, response) || !originIsLocal(request, response)) return;
    if (request.url !== "/mcp") return void response.writeHead(404).end();
    const caller = await authenticate(request.headers.authorization, verify);
    const body = request.method === "POST" ? await readBody(request) : undefined;
    if (caller === undefined || (caller === NOBODY && body !== undefined && isCall(body))) {
      return void response.writeHead(401, { "www-authenticate": "Bearer" }).end();
    }
    const auth = { token: "", clientId: "gateway", scopes: [], extra: { caller } };
    await answer(Object.assign(request, { auth }) as Parameters<typeof answer>[0], response, body);
  }

  const server = createServer((request, response) => {
    respond(request, response).catch(() => response.headersSent || response.writeHead(400).end());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async close() {
      const closed = once(server, "close");
      server.close();
      await handler.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** undefined: something was shown that is no valid assertion. */
async function authenticate(
  header: string | undefined,
  verify: (token: string) => Promise<Caller | undefined>,
): Promise<Caller | undefined> {
  if (header === undefined) return NOBODY;
  const [, token] = /^Bearer (\S+)$/i.exec(header) ?? [];
  return token === undefined ? undefined : verify(token);
}

function callerOf(extra: Readonly<Record<string, unknown>> | undefined): Caller {
  return (extra?.caller as Caller | undefined) ?? NOBODY;
}

/** Everything but asking what is offered needs an assertion. */
const OPEN = new Set([
  "initialize",
  "notifications/initialized",
  "server/discover",
  "tools/list",
  "ping",
  "subscriptions/listen",
]);

function isCall(body: unknown): boolean {
  const method = typeof body === "object" && body !== null && "method" in body ? body.method : undefined;
  return typeof method !== "string" || !OPEN.has(method);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY) throw new Error("body too large");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}
