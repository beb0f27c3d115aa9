import { canonicalOrigin, canonicalPart } from "./uri.ts";
import {
  createVariable,
  type Edge,
  type Machine,
  type Style,
  type Variable,
} from "./uri-template-machine.ts";

interface Operator {
  readonly first: string;
  readonly separator: string;
  readonly named?: true;
  readonly style: Style;
}

const MAX_VARIABLES = 16;
const OPERATORS: ReadonlyMap<string, Operator> = new Map([
  ["", { first: "", separator: ",", style: "simple" }],
  ["+", { first: "", separator: ",", style: "reserved" }],
  ["#", { first: "#", separator: ",", style: "reserved" }],
  [".", { first: ".", separator: ".", style: "simple" }],
  ["/", { first: "/", separator: "/", style: "simple" }],
  [";", { first: ";", separator: ";", named: true, style: "simple" }],
  ["?", { first: "?", separator: "&", named: true, style: "query" }],
  ["&", { first: "&", separator: "&", named: true, style: "query" }],
]);
const TOKEN = /\{([^{}]*)\}|[^{}]+/y;
const VARIABLE = /^([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})(\*)?$/;

/**
 * The machine of a template (RFC 6570).
 *
 * @throws Error that says what is not supported
 */
export function machineOf(text: string): { machine: Machine; variables: readonly Variable[] } {
  const machine: Edge[][] = [[]];
  const variables: Variable[] = [];
  let between = true;
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const token = TOKEN.exec(text);
    if (token === null) throw new Error("it has a brace without its other");
    const [whole, expression] = token;
    if (expression === undefined) {
      addLiteral(machine, whole, at === 0 ? canonicalStart(whole) : canonicalLiteral(whole));
      between = true;
      continue;
    }
    const { operator, found } = expressionIn(expression, text.slice(TOKEN.lastIndex));
    if (!between && operator.first === "") throw new Error("two variables stand side by side");
    if (operator.named) addNamed(machine, operator, found);
    else addUnnamed(machine, operator, found);
    variables.push(...found);
    between = false;
  }
  if (variables.length > MAX_VARIABLES) throw new Error(`it has more than ${MAX_VARIABLES} variables`);
  if (new Set(variables.map(({ name }) => name)).size < variables.length)
    throw new Error("it names a variable twice");
  return { machine, variables };
}

function expressionIn(expression: string, rest: string): { operator: Operator; found: readonly Variable[] } {
  const sign = /^[+#./;?&]?/.exec(expression)?.[0] ?? "";
  const operator = OPERATORS.get(sign) as Operator;
  const names = expression.slice(sign.length).split(",");
  const stops = [names.length > 1 ? operator.separator : "", sign === ";" ? ";" : "", endsOf(rest)].join("");
  const found = names.map((written) => {
    const [, name, list] = VARIABLE.exec(written) ?? [];
    if (name === undefined || name === "__proto__")
      throw new Error(`it has {${expression}}, which is not supported`);
    if (list && operator.named) throw new Error(`the names of the values of {${expression}} are not known`);
    const style = list && operator.style === "simple" ? "path" : operator.style;
    const own = style === "reserved" ? stops : stops.replace(/[?#]/g, "");
    return createVariable(name, style, { required: !operator.named, stops: own });
  });
  return { operator, found };
}

/** What follows in the template ends a variable that could hold it too. */
function endsOf(rest: string): string {
  if (rest.includes("?")) return "?#";
  return rest.includes("#") ? "#" : "";
}

/** Scheme and host of a template: literals, or they could not be told from its variables. */
function canonicalStart(literal: string): string {
  const [start = "", scheme, authority = ""] =
    /^([A-Za-z][A-Za-z0-9+.-]*):(\/\/[^/?#]*)?/.exec(literal) ?? [];
  if (scheme === undefined) throw new Error("it does not begin with a scheme");
  return canonicalOrigin(scheme, canonicalLiteral(authority)) + canonicalLiteral(literal.slice(start.length));
}

function canonicalLiteral(literal: string): string {
  const canonical = canonicalPart(literal);
  if (canonical === undefined) throw new Error("it is not well-formed Unicode");
  return canonical;
}

function addState(machine: Edge[][]): number {
  return machine.push([]) - 1;
}

function addLiteral(machine: Edge[][], source: string, text: string): void {
  if (text === "") return;
  const from = machine.at(-1);
  from?.push({ kind: "literal", text, source, to: addState(machine) });
}

function addUnnamed(machine: Edge[][], { first, separator }: Operator, found: readonly Variable[]): void {
  for (const [index, variable] of found.entries()) {
    const sign = index === 0 ? first : separator;
    addLiteral(machine, sign, sign);
    const from = machine.at(-1);
    from?.push({ kind: "variable", variable, to: addState(machine) });
  }
}

/** Each may be left out: `fresh` is the state while all are, `begun` once one is there. */
function addNamed(machine: Edge[][], { first, separator }: Operator, found: readonly Variable[]): void {
  let fresh = machine.length - 1;
  let begun: number | undefined;
  for (const variable of found) {
    const lanes = [
      { from: fresh, sign: first, state: addState(machine) },
      ...(begun === undefined ? [] : [{ from: begun, sign: separator, state: addState(machine) }]),
    ];
    const [skipped, taken] = [addState(machine), addState(machine)];
    for (const { from, sign, state } of lanes) {
      const text = `${sign}${variable.name}=`;
      machine[from]?.push({ kind: "literal", text, source: text, to: state });
      machine[state]?.push({ kind: "variable", variable, to: taken });
    }
    skip(machine, fresh, skipped);
    if (begun !== undefined) skip(machine, begun, taken);
    [fresh, begun] = [skipped, taken];
  }
  const end = addState(machine);
  skip(machine, fresh, end);
  if (begun !== undefined) skip(machine, begun, end);
}

function skip(machine: Edge[][], from: number, to: number): void {
  machine[from]?.push({ kind: "literal", text: "", source: "", to });
}
