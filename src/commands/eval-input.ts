import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createFilePins } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import { findIdentity } from "../golden/identity.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { parseStrict } from "../lib/strict-json.ts";
import type { Surroundings } from "./command.ts";

export interface InputOptions {
  readonly user?: string;
  /** `upstream:name`; a resource by its URI, a template by its uriTemplate. */
  readonly target?: string;
  readonly server?: string;
  /** A JSON object. */
  readonly args?: string;
  /** A file, or `-`. */
  readonly input?: string;
}

const NO_TARGET = { upstream: "", kind: "tool", name: "", labels: [], announced: {} };
const MAX_DEPTH = 64;

/** The policy input that the options describe. @throws PortcullisError `params_invalid`, `json_invalid`, `json_refused` */
export async function inputOf(
  options: InputOptions,
  config: Config,
  { cwd, stdin }: Pick<Surroundings, "cwd" | "stdin">,
): Promise<JsonObject> {
  if ((options.user === undefined) === (options.input === undefined)) throw unfit("give --user or --input");
  if (options.input !== undefined)
    return objectIn(
      options.input === "-" ? await stdin() : await readFile(resolve(cwd, options.input)),
      "the input",
    );
  const now = Math.floor(Date.now() / 1000);
  const { principal, tenant } = await findIdentity(config, { user: options.user ?? "" }, now);
  const [only = ""] = Object.keys(config.servers);
  const server = options.server ?? only;
  return {
    principal: { ...principal, attributes: principal.attributes },
    tenant,
    target: options.target === undefined ? NO_TARGET : targetOf(options.target, server, config),
    server,
    context: { now },
    arguments: options.args === undefined ? {} : objectIn(Buffer.from(options.args), "--args"),
  };
}

function objectIn(bytes: Uint8Array, what: string): JsonObject {
  const value = parseStrict(bytes, { maxDepth: MAX_DEPTH });
  if (!isJsonObject(value)) throw unfit(`${what} must be a JSON object`);
  return value;
}

/** As it is pinned, with its labels. */
function targetOf(given: string, server: string, config: Config): JsonObject {
  const targets = pinnedViews(config, createFilePins(config.pins.path).list()).get(server)?.targets ?? [];
  const names = targets.map(({ upstream, name }) => `${upstream}:${name}`);
  const found = targets[names.indexOf(given)];
  if (found === undefined)
    throw unfit(
      `nothing is pinned as ${given} on "${server}": ${didYouMean(given, names) || "write upstream:name"}`,
    );
  const { upstream, kind, name, labels, announced } = found;
  return { upstream, kind, name, labels, announced };
}

function unfit(reason: string): PortcullisError {
  return new PortcullisError("params_invalid", { reason });
}
