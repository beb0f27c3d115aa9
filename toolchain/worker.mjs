// @ts-check
// Runs one instance of toolchain.wasm, and answers one request at a time. The host below is the part of WASI preview 1
// that Go's runtime needs and no more: no files, no sockets, no process. Node's own `node:wasi` crashes on Node 20.
import { randomFillSync } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";

const ERRNO_BADF = 8;
const ERRNO_NOTCAPABLE = 76;

/**
 * @typedef {{ memory: WebAssembly.Memory, alloc(n: number): number, handle(n: number): number, result(): number,
 *   _initialize(): void }} Exports
 */

/** @type {Exports} */
let go;
/** What the clock shows, in nanoseconds since the epoch; null for the real one. @type {bigint | null} */
let now = null;
/** What Go writes to stderr before it dies. */
let lastWords = "";

// The buffer is replaced whenever the memory grows, so that a view is good for one access only.
const view = () => new DataView(go.memory.buffer);
const bytes = (/** @type {number} */ at, /** @type {number} */ n) => new Uint8Array(go.memory.buffer, at, n);
/** @param {number} at @param {number} value */
const u32 = (at, value) => view().setUint32(at, value, true);
/** No arguments, no environment: two counts of zero. @param {number} count @param {number} size */
function nothing(count, size) {
  u32(count, 0);
  u32(size, 0);
  return 0;
}

/** @type {Record<string, (...args: any[]) => number>} */
const host = {
  args_sizes_get: nothing,
  args_get: () => 0,
  environ_sizes_get: nothing,
  environ_get: () => 0,
  /** @param {number} id @param {bigint} _precision @param {number} at */
  clock_time_get(id, _precision, at) {
    const realtime = now ?? BigInt(Date.now()) * 1_000_000n;
    view().setBigUint64(at, id === 0 ? realtime : process.hrtime.bigint(), true);
    return 0;
  },
  /** @param {number} at @param {number} n */
  random_get(at, n) {
    randomFillSync(bytes(at, n));
    return 0;
  },
  /** @param {number} fd @param {number} vectors @param {number} count @param {number} written */
  fd_write(fd, vectors, count, written) {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const [at, n] = [view().getUint32(vectors + 8 * i, true), view().getUint32(vectors + 8 * i + 4, true)];
      if (fd === 2) lastWords = (lastWords + Buffer.from(bytes(at, n)).toString()).slice(-2000);
      total += n;
    }
    u32(written, total);
    return 0;
  },
  /** @param {number} _fd @param {number} at */
  fd_fdstat_get(_fd, at) {
    bytes(at, 24).fill(0);
    return 0;
  },
  fd_fdstat_set_flags: () => 0,
  fd_prestat_get: () => ERRNO_BADF,
  sched_yield: () => 0,
  /**
   * Go sleeps only when nothing can run; it looks at the clock again at once.
   * @param {number} subscriptions @param {number} events @param {number} n @param {number} count
   */
  poll_oneoff(subscriptions, events, n, count) {
    for (let i = 0; i < n; i++) {
      bytes(events + 32 * i, 32).fill(0);
      view().setBigUint64(events + 32 * i, view().getBigUint64(subscriptions + 48 * i, true), true);
    }
    u32(count, n);
    return 0;
  },
  /** @param {number} code */
  proc_exit(code) {
    throw new Error(`the toolchain ended with ${code}: ${lastWords}`);
  },
};

for (const { name } of WebAssembly.Module.imports(workerData.module)) host[name] ??= () => ERRNO_NOTCAPABLE;
const instance = await WebAssembly.instantiate(workerData.module, { wasi_snapshot_preview1: host });
go = /** @type {Exports} */ (/** @type {unknown} */ (instance.exports));
go._initialize();

parentPort?.on("message", (/** @type {{ request: Uint8Array, now: bigint | null }} */ message) => {
  now = message.now;
  bytes(go.alloc(message.request.length), message.request.length).set(message.request);
  const length = go.handle(message.request.length);
  const response = bytes(go.result(), length).slice();
  parentPort?.postMessage({ response, memory: go.memory.buffer.byteLength }, [response.buffer]);
});
