import type { Config } from "../config/config.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { askControl } from "../operation/control.ts";
import type { Surroundings } from "./command.ts";
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

/** For what only a running gateway can do; undefined: why not was printed. */
export async function askOrTell(
  config: Config,
  verb: string,
  ask: JsonObject,
  { stderr }: Pick<Surroundings, "stderr">,
): Promise<Json | undefined> {
  try {
    const asked = await askGateway(config, verb, ask);
    if (asked.running) return asked.value;
    stderr.write(`portcullis: ${asked.reason}: start it with portcullis serve\n`);
  } catch (thrown) {
    const { reason, text } = toPortcullisError(thrown);
    stderr.write(`portcullis: ${reason || text}\n`);
  }
  return undefined;
}

/** Who typed it; behind sudo, who that was. */
export function operatorOf({ user, env }: Pick<Surroundings, "user" | "env">): string {
  const { SUDO_USER: before } = env;
  return before === undefined || before === user ? user : `${before} as ${user}`;
}
