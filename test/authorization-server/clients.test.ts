import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import * as v2 from "@modelcontextprotocol/client";
import { type NodeIncomingMessageLike, toNodeHandler } from "@modelcontextprotocol/node";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { Agent, fetch as undiciFetch } from "undici";
import { expect, test } from "vitest";
import { aClient, REDIRECT } from "./oauth.ts";
import { type Application, anApplication, INFO, METADATA } from "./stock-client.ts";
import { aBrowser, aWorld, later, type Serve } from "./world.ts";

/** A real MCP server behind the guard, of both eras. */
function mcpServer(): Serve {
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "behind the guard", version: "1.0.0" });
    server.registerTool("hello", { description: "Says hello." }, () => ({
      content: [{ type: "text", text: "hello" }],
    }));
    return server;
  });
  const answer = toNodeHandler(handler);
  return (request, response) => void answer(request as NodeIncomingMessageLike, response);
}

interface StockClient {
  /** Tries to connect, is sent to the browser, and redeems what comes back. */
  signIn(url: URL, application: Application): Promise<void>;
  tools(url: URL, application: Application): Promise<string[]>;
}

const V1: StockClient = {
  async signIn(url, application) {
    const transport = new StreamableHTTPClientTransport(url, { authProvider: application });
    await expect(new Client(INFO).connect(transport)).rejects.toThrow(UnauthorizedError);
    await transport.finishAuth(application.memory.callback?.searchParams.get("code") ?? "");
  },
  async tools(url, application) {
    const client = new Client(INFO);
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider: application }));
    later(() => client.close());
    return (await client.listTools()).tools.map(({ name }) => name);
  },
};

const V2: StockClient = {
  async signIn(url, application) {
    const transport = new v2.StreamableHTTPClientTransport(url, { authProvider: application });
    await expect(new v2.Client(INFO).connect(transport)).rejects.toThrow(v2.UnauthorizedError);
    await transport.finishAuth(application.memory.callback?.searchParams ?? new URLSearchParams());
  },
  async tools(url, application) {
    const client = new v2.Client(INFO);
    await client.connect(new v2.StreamableHTTPClientTransport(url, { authProvider: application }));
    later(() => client.close());
    return (await client.listTools()).tools.map(({ name }) => name);
  },
};
const CLIENTS = [
  ["v1", V1],
  ["v2", V2],
] as const;

/** A client metadata document on https, under a certificate made for this test. */
async function aMetadataDocument(instead?: string) {
  const folder = mkdtempSync(join(tmpdir(), "authorization-server-"));
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"];
  const pair = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    key,
    "-out",
    certificate,
  ];
  execFileSync("openssl", ["req", "-x509", ...pair, ...subject], { stdio: "pipe" });
  const ca = readFileSync(certificate, "utf8");
  let fetches = 0;
  let sent = 0;
  let document = {};
  const server = createServer({ key: readFileSync(key), cert: ca }, (_, response) => {
    fetches += 1;
    const { socket } = response;
    response.once("close", () => {
      sent = socket?.bytesWritten ?? 0;
    });
    response.setHeader("content-type", "application/json");
    if (instead === undefined) response.end(JSON.stringify(document));
    else Readable.from(instead.match(/.{1,65536}/g) ?? []).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent({ connect: { ca } });
  later(async () => {
    await agent.close();
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `https://${host}/client.json`;
  document = { ...METADATA, client_id: url };
  return {
    url,
    get fetches() {
      return fetches;
    },
    sent: () => sent,
    clientMetadata: {
      hosts: [host],
      fetch: ((input: string, init: object) =>
        undiciFetch(input, { ...init, dispatcher: agent })) as unknown as typeof fetch,
    },
  };
}

test.each(CLIENTS)(
  "a stock %s client that knows only the guarded URL gets in by registering itself",
  async (_, client) => {
    const world = await aWorld({ guarded: mcpServer() });
    const application = anApplication(world.origin, "ann");
    await client.signIn(new URL(world.url), application);
    expect(await client.tools(new URL(world.url), application)).toEqual(["hello"]);
    expect(application.memory.client?.client_id).toMatch(/^[\w-]+$/);
  },
);

test.each(CLIENTS)(
  "a stock %s client gets in by its client metadata document, registering nowhere",
  async (_, client) => {
    const document = await aMetadataDocument();
    const world = await aWorld({ guarded: mcpServer(), clientMetadata: document.clientMetadata });
    const application = anApplication(world.origin, "bob", document.url);
    await client.signIn(new URL(world.url), application);
    expect(await client.tools(new URL(world.url), application)).toEqual(["hello"]);
    expect(application.memory.client?.client_id).toBe(document.url);
    expect(document.fetches).toBe(1);
  },
);

test.each(CLIENTS)(
  "a stock %s client refreshes a token that is refused, without the browser",
  async (_, client) => {
    const world = await aWorld({ guarded: mcpServer() });
    const application = anApplication(world.origin, "ann");
    const { memory } = application;
    await client.signIn(new URL(world.url), application);
    const before = memory.tokens;
    memory.tokens = { ...before, access_token: "worn.out.token", token_type: "Bearer" };
    delete memory.callback;
    expect(await client.tools(new URL(world.url), application)).toEqual(["hello"]);
    expect(memory.callback).toBeUndefined();
    expect(memory.tokens.refresh_token).not.toBe(before?.refresh_token);
  },
);

test("who registers does not decide how much is fetched", async () => {
  const document = await aMetadataDocument("x".repeat(64 << 20));
  const world = await aWorld({ clientMetadata: document.clientMetadata });
  const { registered } = await aClient(world, { sector_identifier_uri: document.url });
  expect(registered.status).toBe(400);
  expect(document.sent()).toBeLessThan(16 << 20);
});

test("a client metadata document on loopback is not fetched unless its host is allowed", async () => {
  const document = await aMetadataDocument();
  // By a fetch that would get it.
  const world = await aWorld({ clientMetadata: { ...document.clientMetadata, hosts: ["other.example"] } });
  const query = {
    client_id: document.url,
    response_type: "code",
    redirect_uri: REDIRECT,
    resource: world.url,
  };
  const response = await aBrowser(world.origin).open(
    `${world.origin}/oauth/auth?${new URLSearchParams(query)}`,
  );
  expect(response.status).toBe(400);
  const html = await response.text();
  expect(html).toContain("invalid_client");
  expect(html).toContain("let it forget this server");
  expect(document.fetches).toBe(0);
});
