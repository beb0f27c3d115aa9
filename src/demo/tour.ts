import { readLog } from "../audit/read.ts";
import type { DecisionEntry } from "../domain.ts";
import type { Gateway } from "../gateway.ts";
import { type ListedTool, type Told, type Visitor, visit } from "./visitor.ts";

/** How the tour prints: one sentence or one row at a time. */
export interface Guide {
  /** `widths` of the columns of the rows below it. */
  heading(text: string, widths?: readonly number[]): void;
  row(cells: readonly string[]): void;
  /** One step: what was tried, what came back, and whether that is what should have. */
  step(tried: string, told: Told, asItShouldBe: boolean): void;
}

interface Step {
  readonly who: string;
  readonly tries: string;
  readonly tool: string;
  readonly args: Record<string, unknown>;
  /** The code that must come back. */
  readonly want: string;
}

const IBAN = "DE02120300000000202051";
const refund = (amount: number, more: object = {}) => ({
  ticket: "ACME-1",
  amount,
  currency: "EUR",
  iban: IBAN,
  ...more,
});

const STEPS: readonly Step[] = [
  { who: "ann", tries: "refunds 120 EUR", tool: "desk__refund", args: refund(120), want: "ok" },
  {
    who: "ann",
    tries: "refunds 900 EUR",
    tool: "desk__refund",
    args: refund(900),
    want: "argument_out_of_bounds",
  },
  { who: "bob", tries: "refunds 900 EUR, as a lead", tool: "desk__refund", args: refund(900), want: "ok" },
  {
    who: "bob",
    tries: "refunds to a blocked account",
    tool: "desk__refund",
    args: refund(50, { iban: "DE89370400440532013000" }),
    want: "requirement_not_met",
  },
  {
    who: "cho",
    tries: "calls refund, hidden from contractors",
    tool: "desk__refund",
    args: refund(1),
    want: "not_found",
  },
  {
    who: "ann",
    tries: "reads globex's ticket",
    tool: "desk__get_ticket",
    args: { ticket: "GLX-1" },
    want: "argument_out_of_bounds",
  },
  {
    who: "dee",
    tries: "reads the same ticket, of her own tenant",
    tool: "desk__get_ticket",
    args: { ticket: "GLX-1" },
    want: "ok",
  },
];

const PEOPLE: readonly (readonly [string, string])[] = [
  ["ann", "support at acme"],
  ["bob", "support lead at acme"],
  ["cho", "contractor at acme"],
  ["dee", "support at globex"],
];

/** Walks sample users through the guarded URL. false: something was not as it should be. */
export async function tour(gateway: Gateway, logPath: string, guide: Guide): Promise<boolean> {
  const server = "support";
  const visitors = new Map<string, Visitor>();
  let good = true;
  try {
    for (const [name] of PEOPLE) {
      visitors.set(name, await visit(name, gateway.urlOf(server), await gateway.token(name, server)));
    }
    good = (await showLists(logPath, visitors, guide)) && good;
    guide.heading("What they try");
    for (const step of STEPS) {
      const told = await (visitors.get(step.who) as Visitor).call(step.tool, step.args);
      const asItShouldBe = told.code === step.want && told.ok === (step.want === "ok");
      guide.step(`${step.who} ${step.tries}`, told, asItShouldBe);
      good &&= asItShouldBe;
    }
  } finally {
    for (const visitor of visitors.values()) await visitor.close();
  }
  return (await showRecords(logPath, guide)) && good;
}

async function showLists(
  logPath: string,
  visitors: ReadonlyMap<string, Visitor>,
  guide: Guide,
): Promise<boolean> {
  let of = 0;
  const counts: number[] = [];
  guide.heading("Who sees what", [3, 20, 14]);
  for (const [name, role] of PEOPLE) {
    const tools = (await visitors.get(name)?.tools()) ?? [];
    counts.push(tools.length);
    of = await outOf(logPath);
    guide.row([name, role, `${tools.length} of ${of} tools`, refundsIn(tools)]);
  }
  const [ann = 0, , cho = 0] = counts;
  return cho > 0 && cho < ann && ann < of;
}

/** Of how many tools the last list was made. */
async function outOf(logPath: string): Promise<number> {
  let of = 0;
  for await (const record of readLog(logPath))
    if (record.phase === "decision" && record.method === "tools/list") of = record.of ?? 0;
  return of;
}

/** What the listed schema lets somebody refund. */
function refundsIn(tools: readonly ListedTool[]): string {
  const { amount, currency } =
    tools.find(({ name }) => name === "desk__refund")?.inputSchema.properties ?? {};
  if (amount === undefined) return "no refunds";
  const { maximum } = amount as { maximum?: number };
  const { enum: currencies = [] } = (currency ?? {}) as { enum?: readonly string[] };
  return `refunds up to ${maximum} ${currencies.join(", ")}`;
}

async function showRecords(path: string, guide: Guide): Promise<boolean> {
  const calls: (DecisionEntry & { readonly seq: number })[] = [];
  for await (const record of readLog(path)) {
    if (record.phase === "decision" && record.method === "tools/call") calls.push(record);
  }
  const last = calls.slice(-STEPS.length);
  guide.heading("What the decision log says", [4, 3, 15, 5]);
  for (const { seq, principal, target, effect, code, grant } of last) {
    guide.row([
      `#${seq}`,
      principal?.subject ?? "",
      `${target?.upstream}.${target?.name}`,
      effect,
      effect === "allow" ? (grant?.reason ?? "") : code,
    ]);
  }
  return last.length === STEPS.length && last.every(({ code }, index) => code === STEPS[index]?.want);
}
