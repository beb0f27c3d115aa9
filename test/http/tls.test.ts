import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createEdge } from "./edge.ts";
import { BODY } from "./raw.ts";

/** Asks again as soon as it has its answer, on some connections at a time, and tells the statuses. */
const CLIENT = `
const { parentPort, workerData: { port, body, count } } = require("node:worker_threads");
const { Agent, request } = require("node:https");
const agent = new Agent({ keepAlive: true, maxSockets: 8, rejectUnauthorized: false });
const headers = { "content-type": "application/json", accept: "application/json, text/event-stream", "content-length": body.length };
const ask = () => new Promise((resolve, reject) => {
  const asking = request({ host: "127.0.0.1", port, path: "/mcp/support", method: "POST", agent, headers }, (answer) =>
    answer.resume().on("end", () => resolve(answer.statusCode)));
  asking.on("error", reject).end(body);
});
let left = count;
const statuses = new Set();
Promise.all(Array.from({ length: 8 }, async () => { while (left-- > 0) statuses.add(await ask()); }))
  .then(() => parentPort.postMessage([...statuses]));
`;

test("whoever asks again over TLS as soon as the answer is there is served", async () => {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-edge-tls-"));
  const subject = ["-subj", "/CN=edge", "-keyout", "key.pem", "-out", "cert.pem"];
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", ...subject];
  execFileSync("openssl", made, { stdio: "pipe", cwd: folder });
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => readFileSync(join(folder, name)));
  rmSync(folder, { recursive: true });

  const edge = createEdge({ allowedHosts: ["127.0.0.1"] });
  const long = JSON.stringify({ ok: "x".repeat(200_000) });
  edge.handle = async ({ reply }) => {
    await sleep(edge.handled.length % 3);
    reply.json(200, edge.handled.length % 2 === 0 ? long : '{"ok":true}');
  };
  const server = createServer({ key, cert } as { key: Buffer; cert: Buffer }, edge.app);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const count = 2000;
  const worker = new Worker(CLIENT, { eval: true, workerData: { port, body: BODY, count } });
  try {
    expect(await once(worker, "message")).toEqual([[200]]);
    expect([edge.handled.length, edge.refused]).toEqual([count, []]);
  } finally {
    await worker.terminate();
    server.close();
    server.closeAllConnections();
  }
});
