import type { Pin } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { NameFact, Problem } from "../policy/toolchain.ts";
import type { LayerFiles, Layers } from "./layers.ts";

interface Known {
  readonly config: Pick<Config, "upstreams" | "servers" | "policies">;
  readonly tenants: Layers["tenants"];
  readonly pins: readonly Pin[];
}

/** What there is of a kind of names, and what one of them is called. */
interface Names {
  readonly noun: string;
  readonly known: readonly string[];
}

const KINDS = ["tool", "resource", "template", "prompt", "server", "sampling", "elicitation", "roots"];

/** Names that a policy compares with and that nothing has: such a rule never applies, and a denial among them opens. */
export function unknownNames(
  facts: readonly NameFact[],
  layer: Pick<LayerFiles, "tenant">,
  known: Known,
): Problem[] {
  return facts.flatMap((fact) => {
    const names = namesFor(fact, layer, known);
    if (names === null || names.known.includes(fact.text)) return [];
    const { file, row, col } = fact;
    const message = `there is no ${names.noun} "${fact.text}"`;
    const hint = didYouMean(fact.text, names.known) || listed(names.known);
    return [{ severity: "warning" as const, code: "name_unknown", message, file, row, col, hint }];
  });
}

function namesFor(
  fact: NameFact,
  { tenant }: Pick<LayerFiles, "tenant">,
  { config, tenants, pins }: Known,
): Names | null {
  switch (fact.path) {
    case "target.upstream":
      return { noun: "upstream", known: Object.keys(config.upstreams) };
    case "target.kind":
      return { noun: "kind of target", known: KINDS };
    case "target.labels":
      return { noun: "label", known: Object.values(config.upstreams).flatMap(labelsOf) };
    case "target.name":
      return targetNames(fact, pins);
    case "server":
      return { noun: "virtual server", known: Object.keys(config.servers) };
    case "principal.kind":
      return { noun: "kind of principal", known: ["user", "service"] };
    case "principal.tenant":
      return { noun: "tenant", known: tenants.map(({ id }) => id) };
    case "tenant":
      return members(tenant === null ? tenants : [tenant], config);
    default:
      return null;
  }
}

function labelsOf(upstream: Config["upstreams"][string]): readonly string[] {
  const { labels, targets, resources, templates, prompts } = upstream;
  const own = [targets, resources, templates, prompts].flatMap((entries) => Object.values(entries));
  return [...labels, ...own.flatMap((one) => one.labels)];
}

/** Once an upstream is pinned, its names are known; but a resource need not be listed to be read. */
function targetNames({ text, upstream }: NameFact, pins: readonly Pin[]): Names | null {
  const there = pins.filter((pin) => pin.upstream === upstream);
  const uri = text.includes(":") && !text.includes("{");
  if (upstream === null || there.length === 0 || text === "" || uri) return null;
  return { noun: `target of ${upstream} that is called`, known: there.map(({ name }) => name) };
}

/** A schema says what a record may have; without one, the records do. */
function members(tenants: Layers["tenants"], { policies }: Pick<Config, "policies">): Names | null {
  const schema = policies.tenant_schema?.properties;
  const known = tenants.flatMap(({ record }) => Object.keys(record));
  return { noun: "tenant whose record has", known: ["id", ...known, ...Object.keys(schema ?? {})] };
}

function listed(known: readonly string[]): string {
  const names = [...new Set(known)].sort();
  return names.length === 0 || names.length > 20 ? "" : `one of ${names.join(", ")}`;
}
