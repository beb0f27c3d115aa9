import type { Config } from "../config/config.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { askControl } from "../operation/control.ts";
import { controlPath } from "./control-path.ts";

export type Asked =
  | { readonly running: true; readonly value: Json }
  | { readonly running: false; readonly reason: string };

/** Asks the gateway that runs with this configuration, if one does. Rejects with the error that it answers. */
export async function askGateway(config: Config, verb: string, ask: JsonObject): Promise<Asked> {
  try {
    return { running: true, value: await askControl(controlPath(config), verb, ask) };
  } catch (thrown) {
    if (!(thrown instanceof PortcullisError) || thrown.code !== "upstream_unavailable") throw thrown;
    return { running: false, reason: thrown.reason };
  }
}
