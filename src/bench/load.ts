import autocannon from "autocannon";
import type { Contender } from "./process.ts";

/** What one round of load on one contender showed. */
export interface Round {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpuMsPerCall: number;
  readonly failed: number;
}

const BODY = JSON.stringify({
  jsonrpc: "2.0",
  id: 7,
  method: "tools/call",
  params: { name: "echo", arguments: { message: "hello from the load generator" } },
});

const MCP_HEADERS = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  "mcp-protocol-version": "2025-11-25",
};

/** Calls `echo` for some seconds over `connections` kept-alive connections, each in a session of its own. */
export async function load(
  contender: Contender,
  {
    connections,
    seconds,
    headers,
  }: { connections: number; seconds: number; headers: Record<string, string> },
): Promise<Round> {
  const sessions = await Promise.all(
    Array.from({ length: connections }, () => openSession(contender.url, headers)),
  );
  const before = contender.usage();
  let next = 0;
  const latencies: number[] = [];
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(
      {
        url: contender.url,
        method: "POST",
        connections,
        duration: seconds,
        body: BODY,
        headers: { ...MCP_HEADERS, ...headers },
        setupClient: (client) => {
          const session = sessions[next++ % sessions.length];
          if (session) client.setHeaders({ ...MCP_HEADERS, ...headers, "mcp-session-id": session });
        },
      },
      (error, done) => (error ? reject(error) : resolve(done)),
    );
    instance.on("response", (_client, _status, _bytes, ms) => latencies.push(ms));
  });
  const cpuMs = contender.usage().cpuMs - before.cpuMs;
  await Promise.all(sessions.map((session) => closeSession(contender.url, headers, session)));
  latencies.sort((a, b) => a - b);
  const calls = result["2xx"];
  return {
    perSecond: calls / result.duration,
    p50: latencies[Math.floor(latencies.length * 0.5)] ?? 0,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    cpuMsPerCall: cpuMs / calls,
    failed: result.non2xx + result.errors,
  };
}

async function openSession(url: string, headers: Record<string, string>): Promise<string | null> {
  const post = (message: object, session: Record<string, string>) =>
    fetch(url, {
      method: "POST",
      headers: { ...MCP_HEADERS, ...headers, ...session },
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
    });
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "bench", version: "1" },
  };
  const answer = await post({ id: 1, method: "initialize", params }, {});
  const session = answer.headers.get("mcp-session-id");
  await answer.text();
  if (!answer.ok) throw new Error(`initialize: HTTP ${answer.status}`);
  const note = await post(
    { method: "notifications/initialized" },
    session ? { "mcp-session-id": session } : {},
  );
  await note.text();
  return session;
}

async function closeSession(
  url: string,
  headers: Record<string, string>,
  session: string | null,
): Promise<void> {
  if (session === null) return;
  await fetch(url, { method: "DELETE", headers: { ...MCP_HEADERS, ...headers, "mcp-session-id": session } });
}
