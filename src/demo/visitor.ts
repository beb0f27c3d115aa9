import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Secret } from "../lib/secret.ts";

/** A sample user's agent: the stock SDK client, which knows nothing but the guarded URL and its token. */
export interface Visitor {
  readonly name: string;
  tools(): Promise<readonly ListedTool[]>;
  call(tool: string, args: Record<string, unknown>): Promise<Told>;
  close(): Promise<void>;
}

export interface ListedTool {
  readonly name: string;
  readonly inputSchema: { readonly properties?: Readonly<Record<string, object>> };
}

/** What the agent was told. */
export interface Told {
  readonly ok: boolean;
  /** "ok", or the stable code of the refusal. */
  readonly code: string;
  readonly text: string;
}

export async function visit(name: string, url: string, token: Secret): Promise<Visitor> {
  const client = new Client(
    { name: "portcullis-tour", version: "1.0.0" },
    { versionNegotiation: { mode: "auto" } },
  );
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { authorization: `Bearer ${token.reveal()}` } },
    }),
  );
  return {
    name,
    async tools() {
      const { tools } = await client.listTools();
      return tools as readonly ListedTool[];
    },
    async call(tool, args) {
      try {
        const result = await client.callTool({ name: tool, arguments: args });
        const [first] = result.content as readonly { text?: string }[];
        return { ok: result.isError !== true, code: "ok", text: first?.text ?? "" };
      } catch (thrown) {
        return { ok: false, ...refusalIn(thrown as Refusal) };
      }
    },
    close: () => client.close(),
  };
}

interface Refusal {
  readonly data?: { readonly code?: string };
  readonly message: string;
}

/** A refusal with an HTTP status of its own stands in the SDK's message as it came. */
function refusalIn({ data, message }: Refusal): { readonly code: string; readonly text: string } {
  const [body] = /\{"jsonrpc".*\}$/s.exec(message) ?? [];
  const error = body === undefined ? { data, message } : (JSON.parse(body) as { error: Refusal }).error;
  return { code: error.data?.code ?? "error", text: error.message.replace(/^MCP error -?\d+: /, "") };
}
