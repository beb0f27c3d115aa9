import type { TenantView } from "../compose/operator-tenants.ts";
import type { Config } from "../config/config.ts";
import type { Suspension } from "../suspension/suspensions.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { askOrTell, operatorOf } from "./gateway-client.ts";
import { loadOrTell } from "./load.ts";
import { columns, json, paintFor, seconds } from "./print.ts";

export interface TenantOptions extends CommonOptions {
  readonly arguments: readonly string[];
  /** For the record and for whoever asks why. */
  readonly reason?: string;
}

const USAGE =
  "portcullis: tenant suspend ID [--reason TEXT], tenant resume ID [--reason TEXT] or tenant list\n";
const LATER = "other replicas were not told: the store does not answer; they learn it when it does\n";

/** `portcullis tenant`: which tenants are served nothing, at once and on every replica, until that is lifted. */
export async function tenant(options: TenantOptions, around: Surroundings): Promise<ExitCode> {
  const [verb = "", id, ...more] = options.arguments;
  const isList = verb === "list" && id === undefined && options.reason === undefined;
  const isOrder = (verb === "suspend" || verb === "resume") && id !== undefined;
  if (!(isList || isOrder) || more.length > 0) {
    around.stderr.write(USAGE);
    return 2;
  }
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  return isList ? list(config, options, around) : order(verb, id ?? "", config, options, around);
}

async function order(
  verb: string,
  id: string,
  config: Config,
  { reason = "", json: asJson }: TenantOptions,
  around: Surroundings,
): Promise<ExitCode> {
  const answer = await askOrTell(
    config,
    `tenant/${verb}`,
    { tenant: id, reason, by: operatorOf(around) },
    around,
  );
  if (answer === undefined) return 2;
  const { told, was } = answer as unknown as { told: boolean; was?: Suspension | null };
  if (asJson)
    around.stdout.write(json({ tenant: id, suspended: verb === "suspend", told, was: was ?? null }));
  else if (was === null) around.stdout.write(`not suspended: ${id}\n`);
  else
    around.stdout.write(`${verb === "suspend" ? "suspended" : "served again"}: ${id}\n${told ? "" : LATER}`);
  return told && was !== null ? 0 : 1;
}

/** 1: one is suspended. */
async function list(config: Config, options: TenantOptions, around: Surroundings): Promise<ExitCode> {
  const answer = await askOrTell(config, "tenant/list", {}, around);
  if (answer === undefined) return 2;
  const tenants = answer as unknown as readonly TenantView[];
  const rows = tenants.map(({ tenant: id, suspension }) =>
    suspension === null ? [id] : [id, paintFor(around).red("suspended"), ...suspensionRow(suspension)],
  );
  around.stdout.write(options.json ? json({ tenants }) : columns(rows));
  return tenants.some(({ suspension }) => suspension !== null) ? 1 : 0;
}

/** Since when, by whom and why. */
export function suspensionRow({ at, by, reason }: Suspension): readonly string[] {
  return [`since ${seconds(at)}`, `by ${by}`, reason];
}
