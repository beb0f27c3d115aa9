import type { IncomingMessage } from "node:http";
import { PortcullisError } from "../lib/errors.ts";

/**
 * Headers whose repetition two readers could resolve differently: Node joins some and takes the first of others.
 * Every `Mcp-*` header belongs to them.
 */
const SINGLE = new Set([
  "host",
  "authorization",
  "content-type",
  "content-length",
  "content-encoding",
  "transfer-encoding",
  "origin",
  "expect",
]);

/** Node silently drops headers past its own limit: far below it, none is ever out of sight. */
const MAX_HEADERS = 200;

/** What two readers of the same bytes could take for different requests, whoever it is for. */
export function checkUnambiguous(request: IncomingMessage): void {
  checkHeadersSingle(request);
  checkFraming(request);
}

function checkHeadersSingle({ rawHeaders }: IncomingMessage): void {
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    throw new PortcullisError("header_malformed", { reason: "too many headers" });
  }
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase();
    if (!SINGLE.has(name) && !name.startsWith("mcp-")) continue;
    if (seen.has(name)) throw new PortcullisError("header_repeated", { reason: name });
    seen.add(name);
  }
}

/** `chunked` alone: Node would also read `xchunked` and `gzip, chunked`, which a proxy before it frames otherwise. */
function checkFraming({ headers }: IncomingMessage): void {
  const encoding = headers["transfer-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "chunked") {
    // What follows on this connection may not be a request.
    throw new PortcullisError("transfer_encoding_refused", { headers: { Connection: "close" } });
  }
}

const JSON_UTF8 = /^application\/json[ \t]*(;[ \t]*charset="?utf-8"?[ \t]*)?$/i;

export function checkContent({ headers }: IncomingMessage): void {
  const type = headers["content-type"];
  if (type !== "application/json" && !JSON_UTF8.test(type ?? "")) {
    throw new PortcullisError("content_type_refused", { reason: "content type" });
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new PortcullisError("content_type_refused", { reason: "content encoding" });
  }
}

const ANSWERS = {
  POST: ["application/json", "text/event-stream"],
  GET: ["text/event-stream"],
  DELETE: [],
} as const;

/** MCP clients must list both answers to a POST (Streamable HTTP, Sending Messages); no header accepts anything. */
export function checkAccept({ headers }: IncomingMessage, verb: keyof typeof ANSWERS): void {
  const { accept } = headers;
  if (accept === undefined || accept === "application/json, text/event-stream") return;
  const ranges = accept.split(",").map((range) => range.replace(/;.*/s, "").trim().toLowerCase());
  const accepts = (type: string): boolean =>
    ranges.some((range) => range === type || range === "*/*" || range === type.replace(/\/.*/, "/*"));
  if (ANSWERS[verb].every(accepts)) return;
  throw new PortcullisError("not_acceptable", verb === "GET" ? { text: "Accept text/event-stream." } : {});
}
