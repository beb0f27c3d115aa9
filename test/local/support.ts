import { PassThrough } from "node:stream";
import { createParser } from "eventsource-parser";
import type { Exchange, Refusal } from "../../src/domain.ts";
import { abortSignalOf } from "../../src/lib/cancellation.ts";
import { silentLog } from "../../src/lib/log.ts";
import { type StdioTransportOptions, serveStdio } from "../../src/local/stdio-transport.ts";

const FORWARDED = ["mcp-session-id", "mcp-protocol-version", "last-event-id"] as const;

interface Message {
  readonly method?: string;
  readonly params?: { readonly name?: string; readonly uri?: string; readonly _meta?: object };
}

/** What a modern client over HTTP repeats of its message. */
function modernHeaders({ method = "", params = {} }: Message): Readonly<Record<string, string>> {
  const { name, uri = name, _meta = {} } = params;
  const version = Object.entries(_meta).find(([key]) => key.endsWith("/protocolVersion"))?.[1];
  if (version === undefined) return {};
  return { "mcp-protocol-version": version, "mcp-method": method, ...(uri && { "mcp-name": uri }) };
}

/** A gate that decides nothing: each exchange goes to a real HTTP server as an HTTP client would have sent it. */
export function bridgeTo(url: string): (exchange: Exchange) => Promise<void> {
  return async ({ verb, body, header, signal, reply }) => {
    const named = FORWARDED.flatMap((name) => {
      const value = header(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    const accept = verb === "GET" ? "text/event-stream" : "application/json, text/event-stream";
    const response = await fetch(url, {
      method: verb,
      headers: {
        ...{ accept, "content-type": "application/json", ...Object.fromEntries(named) },
        ...modernHeaders((body ?? {}) as Message),
      },
      body: verb === "POST" ? JSON.stringify(body) : null,
      signal: abortSignalOf(signal),
    });
    const headers = Object.fromEntries(response.headers);
    if (!response.headers.get("content-type")?.includes("text/event-stream")) {
      const text = await response.text();
      if (text === "") return reply.empty(response.status, headers);
      return reply.json(response.status, text, headers);
    }
    const stream = reply.stream(headers);
    const parser = createParser({
      onEvent: ({ data, id }) => void stream.send(data, id).catch(() => {}),
    });
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
    } finally {
      stream.end();
    }
  };
}

/** The transport over two streams, as a process has them. */
export function serveLines(
  handle: (exchange: Exchange) => Promise<void>,
  more: Partial<StdioTransportOptions> = {},
) {
  const input = new PassThrough();
  const output = new PassThrough();
  const refused: Refusal[] = [];
  let text = "";
  const done = serveStdio({
    handle,
    onRefusal: async (refusal) => void refused.push(refusal),
    server: "support",
    input,
    output,
    limits: { body: 100_000, depth: 64, drain_ms: 2000 },
    signal: new AbortController().signal,
    log: silentLog,
    ...more,
  });
  return {
    input,
    output,
    refused,
    done,
    say(...messages: readonly (object | string)[]): void {
      for (const one of messages) input.write(`${typeof one === "string" ? one : JSON.stringify(one)}\n`);
    },
    /** Every line written so far, parsed. Takes the output for itself. */
    lines(): readonly Record<string, never>[] {
      text += output.read()?.toString("utf8") ?? "";
      return text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    },
  };
}
