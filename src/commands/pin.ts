import type { CatalogStatus } from "../catalog/catalog.ts";
import { describeDrift } from "../catalog/drift.ts";
import { LISTED_KINDS } from "../catalog/kinds.ts";
import { keyOf } from "../catalog/pin-file.ts";
import { createFilePins, type Pin, type PinStore } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { ListedKind } from "../domain.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { discover } from "./discover.ts";
import { askGateway } from "./gateway-client.ts";
import { loadOrTell } from "./load.ts";
import { columns, count, json, type Paint, paintFor, printable } from "./print.ts";

export interface PinOptions extends CommonOptions {
  readonly arguments: readonly string[];
  readonly list?: boolean;
  readonly all?: boolean;
  /** Of the target; a tool by default. */
  readonly kind?: string;
}

const USAGE = "portcullis: pin UPSTREAM TARGET [--kind KIND], pin --list or pin --all\n";

/** `portcullis pin`: what the servers' definitions may be, and what waits for approval. */
export async function pin(options: PinOptions, around: Surroundings): Promise<ExitCode> {
  const [upstream, target] = options.arguments;
  const named = upstream !== undefined && target !== undefined;
  const ways = [options.list === true, options.all === true, named].filter(Boolean);
  if (ways.length !== 1 || (upstream !== undefined && !named)) {
    around.stderr.write(USAGE);
    return 2;
  }
  const kind = LISTED_KINDS.find((one) => one === (options.kind ?? "tool"));
  if (kind === undefined) {
    around.stderr.write(`portcullis: --kind is ${LISTED_KINDS.join(", ")}\n`);
    return 2;
  }
  const config = await loadOrTell(options, around, { secrets: options.all === true });
  if (config === null) return 2;
  const pins = createFilePins(config.pins.path);
  if (options.list) return list(pins.list(), options, around);
  if (options.all) return pinAll(config, pins, options, around);
  return approve({ upstream: upstream ?? "", kind, target: target ?? "" }, config, pins, around);
}

interface Named {
  readonly upstream: string;
  readonly kind: ListedKind;
  readonly target: string;
}

/** How to approve it. */
export function approval({ upstream, kind, name }: Pick<Pin, "upstream" | "kind" | "name">): string {
  const word = /^[A-Za-z0-9_.:/@+-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  return `portcullis pin ${upstream} ${word}${kind === "tool" ? "" : ` --kind ${kind}`}`;
}

/** Through the gateway where one runs, so that the target is back at once. */
async function approve(
  { upstream, kind, target }: Named,
  config: Config,
  pins: PinStore,
  around: Surroundings,
): Promise<ExitCode> {
  const known = pins.list().filter((pin) => pin.upstream === upstream && pin.kind === kind);
  const asked = await askGateway(config, "pin", { upstream, kind, target });
  const approved = asked.running ? asked.value === true : pins.approve(upstream, target, kind);
  if (approved) {
    around.stdout.write(`approved: ${upstream}: ${kind} ${target}\n`);
    return 0;
  }
  if (known.some(({ name }) => name === target)) {
    around.stdout.write(`nothing waits for approval: ${upstream}: ${kind} ${target}\n`);
    return 1;
  }
  const upstreams = Object.keys(config.upstreams);
  const hint = upstreams.includes(upstream)
    ? didYouMean(
        target,
        known.map(({ name }) => name),
      )
    : didYouMean(upstream, upstreams);
  around.stderr.write(
    `portcullis: nothing is pinned as ${upstream}: ${kind} ${target}${hint === "" ? "" : `, ${hint}`}\n`,
  );
  return 2;
}

function list(pins: readonly Pin[], options: PinOptions, around: Surroundings): ExitCode {
  const waiting = pins.filter(({ pending }) => pending !== null);
  if (options.json) {
    const shown = pins.map(({ upstream, kind, name, digest, definition, pending }) => ({
      upstream,
      kind,
      name,
      digest,
      difference: pending === null ? [] : describeDrift(definition, pending.definition),
    }));
    around.stdout.write(json({ pins: shown }));
    return waiting.length === 0 ? 0 : 1;
  }
  const paint = paintFor(around);
  around.stdout.write(
    columns(
      pins.map(({ upstream, kind, name, digest, pending }) => [
        upstream,
        kind,
        name,
        digest.slice(0, 12),
        pending === null ? "" : paint.yellow("changed"),
      ]),
    ),
  );
  for (const one of waiting) around.stdout.write(changed(one, paint));
  return waiting.length === 0 ? 0 : 1;
}

function changed(pin: Pin, paint: Paint): string {
  const { upstream, kind, name, definition, pending } = pin;
  const lines = pending === null ? [] : describeDrift(definition, pending.definition);
  return [
    `${paint.yellow("changed")} ${upstream}: ${kind} ${name}\n`,
    ...lines.map((line) => `    ${line}\n`),
    `    approve: ${approval(pin)}\n`,
  ].join("");
}

/** Pins every definition as its server announces it now, after a look at what changes thereby. */
async function pinAll(
  config: Config,
  pins: PinStore,
  options: PinOptions,
  around: Surroundings,
): Promise<ExitCode> {
  const before = new Set(pins.list().map(keyOf));
  const found = await discover({ config, env: around.env, pins, log: around.createLog("warn") });
  const changed = found.upstreams.flatMap(({ name, quarantined }) =>
    quarantined.map((one) => ({
      upstream: name,
      kind: one.kind,
      target: one.name,
      difference: one.difference,
    })),
  );
  for (const { upstream, kind, target } of changed) pins.approve(upstream, target, kind);
  const now = pins.list();
  const added = now.filter((pin) => !before.has(keyOf(pin))).length;
  const troubles = troublesOf(found);
  if (options.json) around.stdout.write(json({ pinned: now.length, added, changed, troubles }));
  else {
    for (const { upstream, kind, target, difference } of changed)
      around.stdout.write(
        [`changed ${upstream}: ${kind} ${target}`, ...difference.map((line) => `    ${line}`), ""].join("\n"),
      );
    around.stdout.write(troubles.map((line) => `${printable(line)}\n`).join(""));
    around.stdout.write(`${count(now.length, "pinned target")}: ${added} new, ${changed.length} changed\n`);
  }
  return troubles.length === 0 ? 0 : 1;
}

function troublesOf({ upstreams }: CatalogStatus): readonly string[] {
  return upstreams.flatMap(({ name, state, reason, refused }) => [
    ...(state === "live" ? [] : [`${name}: ${reason || "no answer in time"}`]),
    ...refused.map((one) => `${name}: ${one.kind} ${one.name}: ${one.reason}`),
  ]);
}
