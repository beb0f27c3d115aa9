import type { Era } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import { memberOf, scalarIn } from "../lib/members.ts";
import type { RequestId } from "../lib/rpc.ts";

export { errorText } from "../lib/rpc.ts";

/** The answer to a request, around the raw JSON text of its result. */
export function resultText(id: RequestId, result: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`;
}

/** The answer to a request, around the raw JSON text of an upstream's own error. */
export function upstreamErrorText(id: RequestId, error: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":${error}}`;
}

/** A question to a client, around the raw JSON text of its params. */
export function requestText(id: RequestId, method: string, params: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"method":${JSON.stringify(method)},"params":${params}}`;
}

/** A notification, around the raw JSON text of its params. */
export function notificationText(method: string, params: string): string {
  return `{"jsonrpc":"2.0","method":${JSON.stringify(method)},"params":${params}}`;
}

/**
 * The HTTP status of a refused message. Legacy servers answer what is wrong with a method or its params inside
 * HTTP 200, and legacy clients take any other status for a broken transport; modern ones answer 404 and 400.
 */
export function httpStatus(error: PortcullisError, era: Era | ""): number {
  const inBand = error.code === "method_unknown" || error.code === "params_invalid";
  return era === "legacy" && inBand ? 200 : error.row.http;
}

/** Codes whose HTTP status MCP 2026-07-28 fixes, whoever finds them out. */
const STATUS: ReadonlyMap<unknown, number> = new Map([
  [-32601, 404],
  [-32021, 400],
]);

/** The HTTP status of an upstream's own error. */
export function upstreamStatus(error: string, era: Era): number {
  return era === "legacy" ? 200 : (STATUS.get(scalarIn(memberOf(error, "code"))) ?? 200);
}
