import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Era } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";

/** One request as it arrived, whole. */
export interface Arrival {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly method: string;
  readonly params: JsonObject;
}

/** The raw text of a result, or a JSON-RPC error. */
export type Told = string | { readonly code: number; readonly message: string; readonly data?: JsonObject };

export interface Shelf {
  readonly url: string;
  readonly seen: Arrival[];
  /** Arrivals of a method; none is forgotten. */
  of(method: string): readonly Arrival[];
  /** What it answers from now on. */
  answers: Answers;
  close(): Promise<void>;
}

type Answers = Readonly<Record<string, (params: JsonObject, arrival: Arrival) => Told | Promise<Told>>>;

export interface ShelfOptions {
  readonly era?: Era;
  readonly name?: string;
  readonly capabilities?: JsonObject;
}

const CAPABILITIES = { tools: {}, resources: { subscribe: true }, prompts: {}, completions: {} };
const EMPTY: Answers = {
  "tools/list": () => '{"tools":[]}',
  "resources/list": () => '{"resources":[]}',
  "resources/templates/list": () => '{"resourceTemplates":[]}',
  "prompts/list": () => '{"prompts":[]}',
  "resources/subscribe": () => "{}",
  "resources/unsubscribe": () => "{}",
};

/** An upstream of either era that answers each method with the very bytes that a test gives it. */
export async function serveShelf(options: ShelfOptions, answers: Answers): Promise<Shelf> {
  const { era = "legacy", name = "shelf", capabilities = CAPABILITIES } = options;
  const serverInfo = { name, version: "7" };
  const seen: Arrival[] = [];
  const hello: Answers =
    era === "legacy"
      ? { initialize: () => JSON.stringify({ protocolVersion: "2025-11-25", capabilities, serverInfo }) }
      : {
          "server/discover": () =>
            JSON.stringify({
              supportedVersions: ["2026-07-28"],
              capabilities,
              _meta: { "io.modelcontextprotocol/serverInfo": serverInfo },
            }),
        };
  const shelf = { answers };

  async function answer(id: unknown, arrival: Arrival, response: ServerResponse): Promise<void> {
    if (arrival.method === "initialize") response.setHeader("mcp-session-id", `${name}-${seen.length}`);
    if (id === undefined) return void response.writeHead(arrival.method === "" ? 405 : 202).end();
    const all: Answers = { ...EMPTY, ...hello, ...shelf.answers };
    const told = (await all[arrival.method]?.(arrival.params, arrival)) ?? { code: -32601, message: "no" };
    const whole = typeof told === "string" && era === "modern" && !told.includes('"resultType"');
    const result = whole
      ? told.replace(/^\{/, told === "{}" ? '{"resultType":"complete"' : '{"resultType":"complete",')
      : told;
    const member = typeof result === "string" ? `"result":${result}` : `"error":${JSON.stringify(result)}`;
    response
      .setHeader("content-type", "application/json")
      .end(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},${member}}`);
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const { method = "", id, params = {} } = text === "" ? {} : JSON.parse(text);
    const arrival = { headers: request.headers, text, method, params };
    seen.push(arrival);
    await answer(id, arrival, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(shelf, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    seen,
    of: (method: string) => seen.filter((one) => one.method === method),
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  });
}

/** Lists, each the text of its definitions. */
export function listing(lists: {
  readonly tools?: readonly JsonObject[];
  readonly resources?: readonly JsonObject[];
  readonly templates?: readonly JsonObject[];
  readonly prompts?: readonly JsonObject[];
}): Answers {
  const { tools = [], resources = [], templates = [], prompts = [] } = lists;
  return {
    "tools/list": () => JSON.stringify({ tools }),
    "resources/list": () => JSON.stringify({ resources }),
    "resources/templates/list": () => JSON.stringify({ resourceTemplates: templates }),
    "prompts/list": () => JSON.stringify({ prompts }),
  };
}
