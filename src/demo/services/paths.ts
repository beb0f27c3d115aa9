import { readFileSync } from "node:fs";

/** Where `scripts/services.mjs` put the real servers. */
export interface ServicePaths {
  readonly bao: string;
  readonly redis: string;
  readonly postgres: { readonly initdb: string; readonly postgres: string };
}

const MANIFEST = new URL("../../../.services/paths.json", import.meta.url);

/** @throws Error that says what to run, when the set-up was not run */
export function servicePaths(): ServicePaths {
  try {
    return JSON.parse(readFileSync(MANIFEST, "utf8")) as ServicePaths;
  } catch {
    throw new Error("the real servers are not set up: run node scripts/services.mjs");
  }
}
