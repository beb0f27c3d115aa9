import { fullyDecoded, readUri } from "./uri.ts";
import {
  type Edge,
  type Machine,
  type Style,
  type Variable,
  type Way,
  wayThrough,
} from "./uri-template-machine.ts";
import { machineOf } from "./uri-template-syntax.ts";

type Values = Readonly<Record<string, string>>;

/**
 * What a URI is to a template. exact: it is what the template expands to with these values; `uri` is it with the
 * template's own spelling of its literals. Otherwise an upstream might take it for this template, though it is
 * written in another way; `values` where there is only one way to read it.
 */
export type TemplateMatch =
  | { readonly exact: true; readonly values: Values; readonly uri: string }
  | { readonly exact: false; readonly values: Values | undefined };

/** A URI template (RFC 6570) that can be read backwards. */
export interface UriTemplate {
  /** How every URI begins that it could match. */
  readonly prefix: string;
  readonly variables: readonly Variable[];
  /** Variables without a value are left out. */
  expand(values: Values): string;
  /** `uri` in its canonical spelling. Undefined: no upstream would take it for this template. */
  match(uri: string): TemplateMatch | undefined;
}

export type TemplateReading =
  | { readonly ok: true; readonly template: UriTemplate }
  | { readonly ok: false; readonly reason: string };

const MAX_TEMPLATE = 2048;

/**
 * Reads a template of all four levels of RFC 6570. Values are strings: a list (`*`) is one string with its separators.
 * Refused is what cannot be read backwards: prefixes (`:3`), lists of named values, variables side by side.
 */
export function readTemplate(text: string): TemplateReading {
  try {
    if (text.length > MAX_TEMPLATE) throw new Error(`it is longer than ${MAX_TEMPLATE} characters`);
    const template = templateOf(text);
    // What does not match its own expansion is no template of URIs: a relative one, or one with dot segments.
    const sample = Object.fromEntries(template.variables.map(({ name }) => [name, "1"]));
    const uri = readUri(template.expand(sample));
    if (!uri.ok) throw new Error(`it expands to no URI: ${uri.reason}`);
    if (template.match(uri.uri)?.exact !== true) throw new Error("it does not match its own expansion");
    return { ok: true, template };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : "it cannot be read" };
  }
}

function templateOf(text: string): UriTemplate {
  const { machine, variables } = machineOf(text);
  const [first] = machine[0] ?? [];
  // Enough to tell most URIs from it; a template always begins with a literal.
  const prefix = first?.kind === "literal" ? (first.text.split("?", 1)[0] ?? "") : "";
  // Some upstreams route by what stands before the query, and read the query themselves.
  const query = text.search(/\{?\?/);
  const route = query < 0 ? undefined : machineOf(text.slice(0, query)).machine;

  function match(uri: string): TemplateMatch | undefined {
    if (!uri.startsWith(prefix)) return undefined;
    const way = wayThrough(machine, uri, false);
    const values = typeof way === "string" ? undefined : exactValues(way);
    if (values !== undefined) return { exact: true, values, uri: inItsWords(way as Way) };
    const loose = wayThrough(machine, uri, true);
    if (loose !== "none")
      return { exact: false, values: loose === "several" ? undefined : looseValues(loose) };
    const routed = route !== undefined && wayThrough(route, uri.split("?", 1)[0] ?? "", true) !== "none";
    return routed ? { exact: false, values: undefined } : undefined;
  }

  return { prefix, variables, match, expand: (values) => expanded(machine, values) };
}

/** Undefined where a value could mean something else to who decodes it differently. */
function exactValues(way: Way): Values | undefined {
  const values: [string, string][] = [];
  for (const { edge, text } of way) {
    if (edge.kind === "literal") continue;
    const { name, style } = edge.variable;
    const value = decoded(style, text);
    if (value === undefined || encoded(style, value) !== rawEncoded(style, text)) return undefined;
    if (style !== "query" && hidesPath(style, value)) return undefined;
    values.push([name, value]);
  }
  return Object.fromEntries(values);
}

function looseValues(way: Way): Values | undefined {
  const values = way.flatMap(({ edge, text }) =>
    edge.kind === "literal" ? [] : [[edge.variable.name, decoded("simple", text)] as const],
  );
  const known = values.filter((one): one is readonly [string, string] => one[1] !== undefined);
  return known.length === values.length ? Object.fromEntries(known) : undefined;
}

function hidesPath(style: Style, value: string): boolean {
  const slashes = fullyDecoded(value).split("/").length;
  return slashes !== (style === "simple" ? 1 : value.split("/").length) || value === "." || value === "..";
}

function inItsWords(way: Way): string {
  return way.map(({ edge, text }) => (edge.kind === "literal" ? edge.source : text)).join("");
}

/** In a reserved expansion a percent-encoded `?` or `#` stays what it is: raw, it would end the path. */
const KEPT = /(%3F|%23)/;

function decoded(style: Style, text: string): string | undefined {
  try {
    if (style !== "reserved") return decodeURIComponent(text);
    return text
      .split(KEPT)
      .map((part) => (KEPT.test(part) ? part : decodeURIComponent(part)))
      .join("");
  } catch {
    return undefined;
  }
}

function encoded(style: Style, value: string): string {
  const reserved = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?#]/gu;
  if (style === "reserved")
    return value
      .split(KEPT)
      .map((part) => (KEPT.test(part) ? part : part.replace(reserved, percent)))
      .join("");
  return value.replace(style === "path" ? /[^A-Za-z0-9\-._~/,]/gu : /[^A-Za-z0-9\-._~]/gu, percent);
}

/** Clients may leave raw what no reader takes for anything else; then it counts as encoded. */
function rawEncoded(style: Style, text: string): string {
  if (style === "reserved") return text;
  return text.replace(style === "path" ? /[^A-Za-z0-9\-._~/,%]/g : /[^A-Za-z0-9\-._~%]/g, percent);
}

function percent(character: string): string {
  const ascii = character.charCodeAt(0) < 0x80;
  if (!ascii) return encodeURIComponent(character);
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function expanded(machine: Machine, values: Values): string {
  let uri = "";
  for (let state = 0; state < machine.length - 1; ) {
    const edges = machine[state] ?? [];
    const edge = edges.find((one) => leadsToValue(machine, one, values)) ?? edges.at(-1);
    if (edge === undefined) return uri;
    if (edge.kind === "literal") uri += edge.source;
    else uri += encoded(edge.variable.style, givenFor(values, edge.variable.name) ?? "");
    state = edge.to;
  }
  return uri;
}

/** Of a named variable's edges, whether this one writes a value that there is. */
function leadsToValue(machine: Machine, edge: Edge, values: Values): boolean {
  const [next] = machine[edge.to] ?? [];
  if (edge.kind !== "literal" || edge.text === "" || next?.kind !== "variable") return false;
  return givenFor(values, next.variable.name) !== undefined;
}

function givenFor(values: Values, name: string): string | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}
