import { mkdtemp, rm } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pool } from "undici";
import { createGroupCommit } from "../audit/group.ts";
import { createSegmentWriter } from "../audit/writer.ts";
import { startServer } from "./server.ts";

/** Bytes of a call's two records, as the gateway's are with the benchmark's policy. */
const DECISION_BYTES = 1214;
const OUTCOME_BYTES = 288;

/**
 * The floor of any gateway that records before it forwards: the forwarder, with call and answer parsed and a call's two
 * records written by the decision log's own group commit. It authenticates nobody and decides nothing.
 */
export async function startRecorder(upstream: string): Promise<{ readonly url: string }> {
  const { origin, pathname } = new URL(upstream);
  const pool = new Pool(origin, { connections: 64 });
  const group = await openLog();

  async function handle(body: Buffer, response: ServerResponse): Promise<void> {
    const call: unknown = JSON.parse(body.toString());
    await group.add(record(call, DECISION_BYTES));
    const { statusCode, body: answer } = await pool.request({
      path: pathname,
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify(call),
    });
    const text = await answer.text();
    const told = text === "" ? text : JSON.stringify(JSON.parse(text));
    response
      .writeHead(statusCode, {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(told),
      })
      .end(told);
    group.addLater(record(statusCode, OUTCOME_BYTES));
  }

  return startServer((_, body, response) => {
    handle(body, response).catch(() => response.writeHead(502).end());
  });
}

async function openLog() {
  const directory = await mkdtemp(join(tmpdir(), "portcullis-bench-log-"));
  const { begin, write, close } = await createSegmentWriter(directory, null);
  const onFailure = (error: Error) => {
    throw error;
  };
  const group = createGroupCommit({ begin, write, onFailure });
  group.cut(0);
  process.once("SIGTERM", async () => {
    await group.drained();
    await close();
    await rm(directory, { recursive: true });
    process.exit(0);
  });
  return group;
}

function record(what: unknown, bytes: number): Buffer {
  return Buffer.from(`${JSON.stringify(what).padEnd(bytes - 1)}\n`);
}
