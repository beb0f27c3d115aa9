import type { GatewayStatus } from "../gateway.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { askGateway } from "./gateway-client.ts";
import { placed } from "./layers.ts";
import { loadOrTell, type Printable, problemLines } from "./load.ts";
import { approval } from "./pin.ts";
import { columns, count, json, type Paint, paintFor, printable, seconds } from "./print.ts";
import { suspensionRow } from "./tenant.ts";

type Upstream = GatewayStatus["catalog"]["upstreams"][number];
type LayerStatus = GatewayStatus["policies"]["platform"];

/** `portcullis status`: what the running gateway says of itself. 1: something needs a person. */
export async function status(options: CommonOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  const asked = await askGateway(config, "status", {});
  if (!asked.running) {
    around.stdout.write(options.json ? json({ running: false }) : `${asked.reason}\n`);
    return 1;
  }
  const found = asked.value as unknown as GatewayStatus;
  if (options.json) around.stdout.write(json({ running: true, ...found }));
  else around.stdout.write(described(found, around));
  return isWell(found) ? 0 : 1;
}

function isWell({ ready, policies, catalog, schemas }: GatewayStatus): boolean {
  const layers = [policies.platform, ...Object.values(policies.tenants)];
  return (
    ready.length === 0 &&
    layers.every(({ lastError }) => lastError === null) &&
    schemas.every(({ mistake }) => !mistake) &&
    catalog.upstreams.every(
      ({ state, reason, quarantined }) => state === "live" && reason === "" && quarantined.length === 0,
    )
  );
}

function described(found: GatewayStatus, around: Surroundings): string {
  const paint = paintFor(around);
  const { url, ready, policies, catalog, schemas, sessions, suspended } = found;
  const head =
    ready.length === 0
      ? `${paint.green("ready")}  ${url}  ${count(sessions, "session")}\n`
      : `${paint.red("not ready")}  ${url}\n${ready.map((reason) => `    ${reason}\n`).join("")}`;
  const layers: (readonly [string, LayerStatus])[] = [
    ["platform", policies.platform],
    ...Object.entries(policies.tenants),
  ];
  return [
    head,
    section(
      "suspended",
      suspended.map((one) => [one.tenant, ...suspensionRow(one)]),
    ),
    section(
      "policies",
      layers.map((layer) => policyRow(layer, paint)),
    ),
    problemLines(
      layers.flatMap(([, layer]) => problemsOf(layer)),
      around.cwd,
    ),
    section(
      "upstreams",
      catalog.upstreams.map((upstream) => upstreamRow(upstream, paint)),
    ),
    catalog.upstreams.map((upstream) => attention(upstream, paint)).join(""),
    section("left out", leftOutRows(catalog)),
    section(
      "schemas",
      schemas.map(({ target, note }) => [printable(target), printable(note)]),
    ),
  ].join("");
}

function section(title: string, rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? "" : `${title}\n${columns(rows, "  ")}`;
}

function leftOutRows({ servers }: GatewayStatus["catalog"]) {
  return servers.flatMap(({ name, leftOut }) =>
    leftOut.map((one) => [
      name,
      printable(`${one.upstream}: ${one.kind} ${one.name}`),
      printable(one.reason),
    ]),
  );
}

function policyRow(
  [name, { revision, since, warnings, lastError }]: readonly [string, LayerStatus],
  paint: Paint,
) {
  const notes = [
    ...(lastError === null ? [] : [paint.red("the present files are bad")]),
    ...(warnings.length === 0 ? [] : [count(warnings.length, "warning")]),
  ];
  const when = since === null ? "" : `since ${seconds(since)}`;
  return [name, revision === null ? paint.red("none") : revision.slice(0, 12), when, notes.join(", ")];
}

function problemsOf({ directory, lastError, warnings }: LayerStatus): readonly Printable[] {
  return [...(lastError?.problems ?? []), ...warnings].map((one) => placed(one, directory));
}

function upstreamRow(
  { name, state, protocol, targets, quarantined, refused, reason }: Upstream,
  paint: Paint,
) {
  const notes = [
    ...(quarantined.length === 0 ? [] : [paint.yellow(`${quarantined.length} quarantined`)]),
    ...(refused.length === 0 ? [] : [`${refused.length} refused`]),
    ...(reason === "" ? [] : [printable(reason)]),
  ];
  const shown = state === "live" ? paint.green(state) : paint.red(state);
  return [
    name,
    shown,
    printable(protocol),
    state === "live" ? count(targets, "target") : "",
    notes.join(", "),
  ];
}

/** What changed, and how it is approved. */
function attention({ name: upstream, quarantined, refused }: Upstream, paint: Paint): string {
  const changed = quarantined.map(({ kind, name, difference }) =>
    [
      `  ${paint.yellow("changed")} ${upstream}: ${kind} ${name}\n`,
      ...difference.map((line) => `    ${line}\n`),
      `    approve: ${approval({ upstream, kind, name })}\n`,
    ].join(""),
  );
  return [
    ...changed,
    ...refused.map(
      ({ kind, name, reason }) =>
        `  refused ${upstream}: ${kind} ${printable(name)}\n    ${printable(reason)}\n`,
    ),
  ].join("");
}
