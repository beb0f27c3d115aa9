import { readFile } from "node:fs/promises";
import type { SecretStore } from "../config/secret.ts";

/** Where the configuration's references lead. */
export function secretsOf({ env }: Pick<SecretStore, "env">): SecretStore {
  return { env, readFile: (path) => readFile(path, "utf8") };
}
