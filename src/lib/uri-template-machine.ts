/**
 * Finds the values of a URI template's variables in a URI. A template is a machine of states and edges without loops,
 * and a match counts the ways through it for every position: linear in the URI for each edge, whoever wrote either.
 */

/**
 * What a variable's text may hold. simple: one segment of a path; path: several; reserved: whatever a URI holds;
 * query: one value of a query.
 */
export type Style = "simple" | "path" | "reserved" | "query";

export interface Variable {
  readonly name: string;
  readonly style: Style;
  /** false: it may be left out, with all that stands for it. */
  readonly required: boolean;
  /** By character code, 1 for what it may hold where the template was expanded. */
  readonly takes: Uint8Array;
  /** The same for what an upstream's own matching might take for it. */
  readonly mightTake: Uint8Array;
}

/** A literal is compared in its canonical spelling; `source` is how the template writes it. */
export type Edge =
  | { readonly kind: "literal"; readonly text: string; readonly source: string; readonly to: number }
  | { readonly kind: "variable"; readonly variable: Variable; readonly to: number };

/** Edges by state; each leads to a later state, and the last state is the end. */
export type Machine = readonly (readonly Edge[])[];

/** One way through the machine: its edges, a variable's with the text that it took. */
export type Way = readonly { readonly edge: Edge; readonly text: string }[];

/**
 * The one way to read a URI, or that there is none, or several. `loosely`: by what an upstream's own matching might
 * take for a variable, which is more than the template can expand to.
 */
export function wayThrough(machine: Machine, uri: string, loosely: boolean): Way | "none" | "several" {
  const ways = countWays(machine, uri, loosely);
  const count = ways[0]?.[0] ?? 0;
  if (count !== 1) return count === 0 ? "none" : "several";
  const way: { edge: Edge; text: string }[] = [];
  for (let state = 0, at = 0; state < machine.length - 1; ) {
    const step = firstStep(machine[state] ?? [], { uri, at, ways, loosely });
    if (step === undefined) return "none";
    way.push(step);
    state = step.edge.to;
    at += step.text.length;
  }
  return way;
}

const UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
const SUB_DELIMS = "!$&'()*+,;=";
const ALLOWED: Readonly<Record<Style, string>> = {
  simple: `${UNRESERVED}${SUB_DELIMS}%:@`,
  path: `${UNRESERVED}${SUB_DELIMS}%:@/`,
  reserved: `${UNRESERVED}${SUB_DELIMS}%:@/?#`,
  // A plus is a space to some readers, and itself to others.
  query: `${UNRESERVED}!$'()*,;=%:@/?`,
};

/** `stops`: characters that end it here, beyond what its style excludes. */
export function createVariable(
  name: string,
  style: Style,
  { required, stops }: { readonly required: boolean; readonly stops: string },
): Variable {
  const takes = tableOf(style, stops);
  return { name, style, required, takes, mightTake: tableOf("reserved", style === "simple" ? "/" : "") };
}

const tables = new Map<string, Uint8Array>();

function tableOf(style: Style, stops: string): Uint8Array {
  const known = tables.get(`${style} ${stops}`);
  if (known !== undefined) return known;
  const table = new Uint8Array(128);
  for (const character of ALLOWED[style]) if (!stops.includes(character)) table[character.charCodeAt(0)] = 1;
  tables.set(`${style} ${stops}`, table);
  return table;
}

const PERCENT = 0x25;

type Ways = readonly Uint8Array[];

/** How often the end can be reached, from every state at every position: 0, 1, or 2 for more. */
function countWays(machine: Machine, uri: string, loosely: boolean): Ways {
  const ways = machine.map(() => new Uint8Array(uri.length + 1));
  const last = ways.at(-1);
  if (last !== undefined) last[uri.length] = 1;
  for (let state = machine.length - 2; state >= 0; state -= 1)
    for (const edge of machine[state] ?? []) {
      const [from, to] = [ways[state], ways[edge.to]];
      if (from === undefined || to === undefined) continue;
      if (edge.kind === "literal") overLiteral(edge.text, uri, from, to);
      else overVariable(edge.variable, { uri, loosely, from, to });
    }
  return ways;
}

function overLiteral(text: string, uri: string, from: Uint8Array, to: Uint8Array): void {
  const first = text.charCodeAt(0);
  for (let at = uri.length - text.length; at >= 0; at -= 1) {
    const beyond = to[at + text.length] ?? 0;
    if (beyond === 0 || (text !== "" && uri.charCodeAt(at) !== first)) continue;
    if (text.length < 2 || uri.startsWith(text, at)) from[at] = Math.min(2, (from[at] ?? 0) + beyond);
  }
}

function overVariable(
  variable: Variable,
  over: {
    readonly uri: string;
    readonly loosely: boolean;
    readonly from: Uint8Array;
    readonly to: Uint8Array;
  },
): void {
  const { uri, loosely, from, to } = over;
  const takes = loosely ? variable.mightTake : variable.takes;
  const empty = mayBeEmpty(variable);
  // Sums of the ways from where the variable may end: it takes whole characters, and a triplet is one.
  const run = new Uint8Array(uri.length + 4);
  for (let at = uri.length; at >= 0; at -= 1) {
    const code = uri.charCodeAt(at);
    const next = at + (code === PERCENT ? 3 : 1);
    if (takes[code] === 1) run[at] = Math.min(2, (run[next] ?? 0) + (to[next] ?? 0));
    const ways = (from[at] ?? 0) + (run[at] ?? 0) + (empty ? (to[at] ?? 0) : 0);
    from[at] = Math.min(2, ways);
  }
}

function firstStep(
  edges: readonly Edge[],
  from: { readonly uri: string; readonly at: number; readonly ways: Ways; readonly loosely: boolean },
): { edge: Edge; text: string } | undefined {
  const { uri, at, ways, loosely } = from;
  for (const edge of edges) {
    const to = ways[edge.to];
    const leads = (end: number) => (to?.[end] ?? 0) > 0;
    if (edge.kind === "literal") {
      if (uri.startsWith(edge.text, at) && leads(at + edge.text.length)) return { edge, text: edge.text };
      continue;
    }
    if (mayBeEmpty(edge.variable) && leads(at)) return { edge, text: "" };
    const takes = loosely ? edge.variable.mightTake : edge.variable.takes;
    for (let end = at; takes[uri.charCodeAt(end)] === 1; ) {
      end += uri.charCodeAt(end) === PERCENT ? 3 : 1;
      if (leads(end)) return { edge, text: uri.slice(at, end) };
    }
  }
  return undefined;
}

function mayBeEmpty({ style }: Variable): boolean {
  return style === "query";
}
