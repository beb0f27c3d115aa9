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
        const { data, message } = thrown as { data?: { code?: string }; message: string };
        return { ok: false, code: data?.code ?? "error", text: message.replace(/^MCP error -?\d+: /, "") };
      }
    },
    close: () => client.close(),
  };
}
