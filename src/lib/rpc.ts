import type { PortcullisError } from "./errors.ts";

/** A JSON-RPC 2.0 request id as MCP allows it: a string or an integer, never null. */
export type RequestId = string | number;

/** The JSON-RPC answer to a refused or failed request, with the stable code in `error.data.code`. */
export function errorText(id: RequestId | null, error: PortcullisError): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    id,
    error: { code: error.row.rpc, message: error.text, data: { ...error.data, code: error.code } },
  });
}
