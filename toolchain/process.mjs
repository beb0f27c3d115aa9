// @ts-check
// The toolchain's process: compiles toolchain.wasm and hands requests to the worker that runs it. A process of its own,
// because V8's optimising compiler takes seconds and hundreds of megabytes for this module, and the flag that keeps it
// away (--liftoff-only) holds for a whole process. A worker inside, because only a worker's stack can be made deeper.
import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";

// Whoever started it is gone, even by kill -9.
process.on("disconnect", () => process.exit());

const module = await WebAssembly.compile(await readFile(new URL("./toolchain.wasm", import.meta.url)));
const worker = new Worker(new URL("./worker.mjs", import.meta.url), {
  workerData: { module },
  // Deep sources and data: OPA's own limits come before the end of this stack.
  resourceLimits: { stackSizeMb: 32 },
  env: {},
  stderr: true,
});
worker.on("error", (thrown) => process.send?.({ failed: String(thrown.message) }, () => process.exit(1)));
worker.on("message", (message) => process.send?.(message));
process.on("message", (message) => worker.postMessage(message));
