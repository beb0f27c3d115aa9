import { startServer } from "./server.ts";

const TOOL = {
  name: "echo",
  description: "Says the message back.",
  inputSchema: { type: "object", properties: { message: { type: "string" } }, required: ["message"] },
};
const FILLER = "x".repeat(120);

/** A fixed MCP server of the legacy era that does as little as one can: what every contender is measured against. */
export function startUpstream(): Promise<{ readonly url: string }> {
  return startServer((request, body, response) => {
    if (request.method !== "POST") return void response.writeHead(405).end();
    const message = JSON.parse(body.toString());
    if (message.id === undefined) return void response.writeHead(202).end();
    const text = JSON.stringify({ jsonrpc: "2.0", id: message.id, ...answer(message) });
    response
      .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
      .end(text);
  });
}

function answer(message: { method: string; params?: { arguments?: { message?: string } } }): object {
  switch (message.method) {
    case "initialize":
      return {
        result: {
          protocolVersion: "2025-11-25",
          capabilities: { tools: {} },
          serverInfo: { name: "fixed", version: "1" },
        },
      };
    case "tools/list":
      return { result: { tools: [TOOL] } };
    case "tools/call":
      return {
        result: {
          content: [{ type: "text", text: `${message.params?.arguments?.message}${FILLER}` }],
          isError: false,
        },
      };
    default:
      return { error: { code: -32601, message: "Method not found" } };
  }
}
