import { join } from "node:path";
import type { Config } from "../config/config.ts";

/** Where `status`, `pin`, `tenant`, `accounts` and `token` find the running gateway. */
export function controlPath(config: Config): string {
  return join(config.state.path, "control.sock");
}
