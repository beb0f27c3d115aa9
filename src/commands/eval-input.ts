import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { LISTED_KINDS } from "../catalog/kinds.ts";
import { createFilePins } from "../catalog/pins.ts";
import type { CatalogView } from "../catalog/view.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { QuestionKind, Target } from "../domain.ts";
import { findIdentity } from "../golden/identity.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { PortcullisError, toPortcullisError, whyUnread } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { parseStrict } from "../lib/strict-json.ts";
import type { Surroundings } from "./command.ts";

export interface InputOptions {
  readonly user?: string;
  /** `upstream:name`; a resource by its URI, a template by its uriTemplate; of an upstream itself its name alone. */
  readonly target?: string;
  /** Of the target; a tool by default. */
  readonly kind?: string;
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
      options.input === "-" ? await buffer(stdin) : await fileAt(resolve(cwd, options.input), options.input),
      "the input",
    );
  const now = Math.floor(Date.now() / 1000);
  const { principal, tenant } = await findIdentity(config, { user: sampleUser(options, config) }, now);
  const [only = ""] = Object.keys(config.servers);
  const server = options.server ?? only;
  if (!Object.hasOwn(config.servers, server))
    throw unfit(`there is no virtual server "${server}": ${Object.keys(config.servers).join(", ")}`);
  return {
    principal: { ...principal, attributes: principal.attributes },
    tenant,
    target: options.target === undefined ? NO_TARGET : targetOf(options, server, config),
    server,
    context: { now },
    arguments: options.args === undefined ? {} : objectIn(Buffer.from(options.args), "--args"),
  };
}

function sampleUser({ user = "" }: InputOptions, config: Config): string {
  const users = config.authorization_server?.users ?? {};
  if (Object.hasOwn(users, user)) return user;
  const instead = didYouMean(user, Object.keys(users)) || "describe anybody else with --input FILE";
  throw unfit(`there is no sample user "${user}": ${instead}`);
}

async function fileAt(path: string, given: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw unfit(`${given} cannot be read: ${whyUnread(thrown)}`);
  }
}

function objectIn(bytes: Uint8Array, what: string): JsonObject {
  let value: Json;
  try {
    value = parseStrict(bytes, { maxDepth: MAX_DEPTH });
  } catch (thrown) {
    const { code, reason } = toPortcullisError(thrown);
    throw new PortcullisError(code, { reason: `${what}: ${reason}` });
  }
  if (!isJsonObject(value)) throw unfit(`${what} must be a JSON object`);
  return value;
}

const OWN: readonly ("server" | QuestionKind)[] = ["server", "sampling", "elicitation", "roots"];

/** As it is pinned, with its labels; what no server lists has nothing announced. */
function targetOf(
  { target: given = "", kind = "tool" }: InputOptions,
  server: string,
  config: Config,
): JsonObject {
  const view = pinnedViews(config, createFilePins(config.pins.path).list()).get(server);
  const listed = LISTED_KINDS.find((one) => one === kind);
  const own = OWN.find((one) => one === kind);
  if (listed === undefined && own === undefined)
    throw unfit(`--kind is ${[...LISTED_KINDS, ...OWN].join(", ")}`);
  const candidates = listed === undefined ? [] : (view?.of(listed) ?? []);
  const names = own === undefined ? candidates.map(nameOf) : Object.keys(config.upstreams);
  const found =
    own === undefined
      ? (candidates[names.indexOf(given)] ?? (listed === "resource" ? linked(given, view) : undefined))
      : names.includes(given)
        ? view?.own(given, own)
        : undefined;
  if (found === undefined) {
    const form = own === undefined ? "write upstream:name" : "write the upstream's name";
    const instead = names.length === 0 ? "portcullis pin --all pins what the upstreams announce" : form;
    throw unfit(`nothing is pinned as ${given} on "${server}": ${didYouMean(given, names) || instead}`);
  }
  const { upstream, name, labels, announced } = found;
  return { upstream, kind, name, labels, announced };
}

function nameOf({ upstream, name }: Target): string {
  return `${upstream}:${name}`;
}

/** A resource that no server lists is a target by its URI. */
function linked(given: string, view: CatalogView | undefined): Target | undefined {
  const [, upstream = "", uri = ""] = /^([^:]+):(.+)$/.exec(given) ?? [];
  const exposed = view?.exposeUri(upstream, uri);
  const matches = exposed === undefined ? [] : (view?.resource(exposed)?.matches ?? []);
  return matches.find(({ target }) => target.kind === "resource")?.target;
}

function unfit(reason: string): PortcullisError {
  return new PortcullisError("params_invalid", { reason });
}
