import { parentPort, workerData } from "node:worker_threads";
import type { Log } from "../lib/log.ts";
import { type BundleCacheOptions, createBundleCache } from "./bundle-cache.ts";
import { createPreparer, type Prepared, type Wanted } from "./preparation.ts";
import { createToolchain } from "./toolchain.ts";

/** Where builds are kept. */
export type Bundles = Pick<BundleCacheOptions, "directory" | "capacity">;

/** What the thread says. */
export type Told =
  | { readonly kind: "prepared"; readonly prepared: Prepared }
  | {
      readonly kind: "log";
      readonly level: keyof Log;
      readonly fields: object;
      readonly message: string;
    };

const write = (level: keyof Log) => (fields: object, message: string) =>
  tell({ kind: "log", level, fields, message });
const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
const toolchain = createToolchain();
const prepare = createPreparer(createBundleCache({ ...(workerData as Bundles), toolchain, log }));

function tell(told: Told, moved: ArrayBuffer[] = []): void {
  parentPort?.postMessage(told, moved);
}

parentPort?.on("message", async (wanted: Wanted) => {
  const prepared = await prepare(wanted);
  tell(
    { kind: "prepared", prepared },
    prepared.kind === "good" ? [prepared.program.image.buffer as ArrayBuffer] : [],
  );
});
