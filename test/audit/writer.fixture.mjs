// A gateway's worth of concurrent decisions in a process of its own. Prints the id of each acknowledged one.
// usage: node writer.fixture.mjs DIST LOG SEGMENT_BYTES
const [, , dist, path, segmentBytes] = process.argv;
const { openDecisionLog } = await import(`${dist}/audit/log.js`);

const silent = () => {};
const log = await openDecisionLog({
  path,
  segmentBytes: Number(segmentBytes),
  maxPendingBytes: 1 << 24,
  clock: Date.now,
  log: { debug: silent, info: silent, warn: silent, error: silent },
  onFatal: (error) => process.stdout.write(`fatal ${error.cause?.code}\n`),
});
process.stdout.write("open\n");

const entry = {
  phase: "decision",
  server: "support",
  era: "modern",
  method: "tools/call",
  rpc_id: 1,
  client_ip: "127.0.0.1",
  revision: { platform: "p1", tenant: "" },
  principal: null,
  target: { upstream: "crm", kind: "tool", name: "refund" },
  arguments: { note: "x".repeat(200) },
  arguments_sha256: "",
  context: { now: 0 },
  effect: "allow",
  code: "ok",
  grant: null,
  requirements: {},
  reasons: [],
  trace_id: "",
};

async function caller() {
  for (;;) {
    const id = log.newId();
    try {
      await log.decision(id, entry);
    } catch (error) {
      process.stdout.write(`refused ${error.code} ${log.healthy}\n`);
      return;
    }
    process.stdout.write(`ack ${id}\n`);
    const outcome = {
      phase: "outcome",
      decision: id,
      status: "ok",
      is_error: false,
      ms: 1,
      bytes: 2,
      lease_sha256: null,
    };
    log.outcome(outcome);
  }
}

await Promise.all(Array.from({ length: 32 }, caller));
await log.close();
