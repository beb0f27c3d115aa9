import { performance } from "node:perf_hooks";
import { readLog } from "../../audit/read.ts";
import type { DecisionEntry, LeaseEntry } from "../../domain.ts";
import type { Gateway } from "../../gateway.ts";
import { Secret } from "../../lib/secret.ts";
import type { Guide } from "../tour.ts";
import { type Told, type Visitor, visit } from "../visitor.ts";
import type { VaultWorld } from "./world.ts";

export interface VaultTour {
  readonly gateway: Gateway;
  readonly world: VaultWorld;
  /** The decision log's folder. */
  readonly logPath: string;
  readonly guide: Guide;
}

interface Person {
  readonly subject: string;
  readonly tenant: string;
  readonly roles: readonly string[];
}

const SERVER = "desk";
const TOOL = "query_tickets";
const ANN = { subject: "ann", tenant: "acme", roles: ["support"] };
const ANN_AT_GLOBEX = { ...ANN, tenant: "globex" };
const BOB = { subject: "bob", tenant: "acme", roles: ["support"] };
const CHO = { subject: "cho", tenant: "acme", roles: ["contractor"] };
/** Vault has to be found back within this time. */
const RECOVERY_MS = 10_000;

/** Shows a database role appear, be used and vanish. false: something was not as it should be. */
export async function vaultTour(parts: VaultTour): Promise<boolean> {
  const visitors = new Map<Person, Visitor>();
  const run = await beginRun(parts, ANN);
  visitors.set(ANN, await visit("ann", parts.gateway.urlOf(SERVER), run.token));
  for (const person of [ANN_AT_GLOBEX, BOB, CHO]) visitors.set(person, await visitAs(parts, person));
  const call = (person: Person, args: Record<string, unknown> = {}): Promise<Told> =>
    (visitors.get(person) as Visitor).call(TOOL, args);
  try {
    const seen = [
      await nothingYet(parts),
      await twoCompanies(parts, call),
      await whatPostgresSaw(parts),
      await refusedCalls(parts, call),
      await twoLogs(parts),
      await sealed(parts, call),
      await endOfRun(parts, run),
    ];
    return seen.every(Boolean);
  } finally {
    for (const visitor of visitors.values()) await visitor.close();
  }
}

/** After the gateway has stopped. */
export async function nothingLeft({ world, guide }: Pick<VaultTour, "world" | "guide">): Promise<boolean> {
  guide.heading("The gateway has stopped", [26]);
  return counted(world, guide);
}

type Call = (person: Person, args?: Record<string, unknown>) => Promise<Told>;

async function nothingYet({ world, guide }: VaultTour): Promise<boolean> {
  guide.heading("Nobody has a way into the database", [26]);
  return counted(world, guide);
}

async function counted(world: VaultWorld, guide: Guide): Promise<boolean> {
  const roles = (await world.roles()).length;
  const leases = await world.leases();
  guide.row(["roles of tools, PostgreSQL", String(roles)]);
  guide.row(["leases, Vault", String(leases), wrong(roles === 0 && leases === 0)]);
  return roles === 0 && leases === 0;
}

async function twoCompanies({ world, guide }: VaultTour, call: Call): Promise<boolean> {
  guide.heading("ann works for two companies; her agent at acme has a run of its own");
  const steps = [
    { who: ANN, tried: "ann's agent, for acme, asks for open tickets", ids: "ACME-1, ACME-2, ACME-3" },
    { who: ANN, tried: "the same again: the same lease", ids: "ACME-1, ACME-2, ACME-3" },
    { who: ANN_AT_GLOBEX, tried: "ann, for globex, asks the same table", ids: "GLX-1, GLX-2" },
  ];
  let good = true;
  for (const { who, tried, ids } of steps) {
    const { told, user, found } = read(await call(who, { status: "open" }));
    const asItShouldBe = found === ids && user.startsWith(`mcp-${who.tenant}.reader-`);
    guide.step(tried, told, asItShouldBe);
    good &&= asItShouldBe;
  }
  return (await mints(world)).length === 2 && good;
}

/** What the tool said, for people. */
function read(told: Told): { readonly told: Told; readonly user: string; readonly found: string } {
  if (!told.ok) return { told, user: "", found: "" };
  const { database_user: user, tickets } = JSON.parse(told.text) as {
    readonly database_user: string;
    readonly tickets: readonly { readonly id: string }[];
  };
  const found = tickets.map(({ id }) => id).join(", ");
  return { told: { ...told, text: `${found}  as ${user}` }, user, found };
}

async function whatPostgresSaw({ world, guide }: VaultTour): Promise<boolean> {
  guide.heading("What PostgreSQL sees: pg_roles, pg_stat_activity", [42, 13]);
  const roles = await world.roles();
  for (const { name, until, connected } of roles) {
    guide.row([
      name,
      `ends ${until.toISOString().slice(11, 19)}`,
      connected === null ? "" : "connected",
      wrong(connected !== null),
    ]);
  }
  return roles.length === 2 && roles.every(({ connected }) => connected !== null);
}

async function refusedCalls({ world, guide }: VaultTour, call: Call): Promise<boolean> {
  guide.heading("A refused call makes nothing", [26]);
  const before = (await mints(world)).length;
  const steps = [
    { who: CHO, tried: "cho, a contractor, calls it", args: {}, want: "not_found" },
    { who: BOB, tried: "bob asks for 5000 rows", args: { limit: 5000 }, want: "argument_out_of_bounds" },
  ];
  let good = true;
  for (const { who, tried, args, want } of steps) {
    const told = await call(who, args);
    guide.step(tried, told, told.code === want);
    good &&= told.code === want;
  }
  const after = (await mints(world)).length;
  guide.row(["credentials made by Vault", `${before} before, ${after} after`, wrong(before === after)]);
  return before === after && good;
}

/** Our record of each lease beside Vault's of the same decision. */
async function twoLogs({ world, guide, logPath }: VaultTour): Promise<boolean> {
  guide.heading("One decision id, two logs", [8, 10, 28, 14]);
  guide.row(["decision", "ours", "Vault's audit log"]);
  const vaults = await mints(world);
  const { decisions, leases } = await recordsOf(logPath);
  const minted = leases.filter(({ event }) => event === "minted");
  for (const { decision, tenant, subject, request_id } of minted) {
    const its = vaults.find((one) => one.request.headers?.["x-mcp-decision-id"]?.[0] === decision);
    const joined = its?.request.id === request_id && decisions.get(decision)?.effect === "allow";
    guide.row([
      decision.slice(0, 8),
      `${subject}@${tenant}`,
      String(its?.request.path ?? ""),
      String(its?.auth?.display_name ?? ""),
      wrong(joined),
    ]);
    if (!joined) return false;
  }
  return minted.length === vaults.length;
}

async function sealed({ world, guide }: VaultTour, call: Call): Promise<boolean> {
  guide.heading("Vault is sealed", [26]);
  const before = await connections(world);
  await world.bao.seal();
  const refused = await call(BOB);
  guide.step("bob, who has no lease yet", refused, refused.code === "vault_sealed");
  const held = read(await call(ANN_AT_GLOBEX, { status: "open" }));
  guide.step("ann, whose lease is good for some seconds more", held.told, held.told.ok);
  const untouched = (await connections(world)) === before;
  guide.row([
    "connections of tools",
    `${before} before, ${await connections(world)} after`,
    wrong(untouched),
  ]);
  await world.bao.restart();
  const startedAt = performance.now();
  let back = await call(BOB, { limit: 1 });
  while (!back.ok && performance.now() - startedAt < RECOVERY_MS) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    back = await call(BOB, { limit: 1 });
  }
  guide.step(`bob, ${ms(startedAt)} after Vault is back`, read(back).told, back.ok);
  return refused.code === "vault_sealed" && held.told.ok && untouched && back.ok;
}

async function endOfRun(
  { world, guide, gateway }: VaultTour,
  { end }: Awaited<ReturnType<typeof beginRun>>,
): Promise<boolean> {
  guide.heading("The run of ann's agent ends", [26]);
  const isIts = ({ name }: { readonly name: string }) => name.includes("acme/ann");
  const before = (await world.roles()).filter(isIts).length;
  const startedAt = performance.now();
  await end();
  while ((await world.roles()).some(isIts) && performance.now() - startedAt < RECOVERY_MS)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const after = (await world.roles()).filter(isIts).length;
  guide.row(["its role in PostgreSQL", `${before} before, ${after} after ${ms(startedAt)}`]);
  const others = (await world.roles()).length;
  guide.row(["roles of others", String(others), wrong(before === 1 && after === 0 && others === 2)]);
  return before === 1 && after === 0 && others === 2 && gateway.status().ready.length === 0;
}

function visitAs({ gateway, world }: VaultTour, person: Person): Promise<Visitor> {
  const audience = gateway.urlOf(SERVER);
  return world.issuer.token({ ...person, audience }).then((token) => visit(person.subject, audience, token));
}

/** A token for one agent run, and its end. */
async function beginRun({ gateway, world }: VaultTour, person: Person) {
  const audience = gateway.urlOf(SERVER);
  const own = await world.issuer.token({ ...person, audience });
  const runs = new URL("/runs", audience);
  const headers = { authorization: `Bearer ${own.reveal()}`, "content-type": "application/json" };
  const body = JSON.stringify({ description: "triage", targets: [TOOL] });
  const answer = await fetch(runs, { method: "POST", headers, body });
  const { id, token } = (await answer.json()) as { readonly id: string; readonly token: string };
  return {
    token: new Secret(token),
    async end() {
      await fetch(new URL(`/runs/${id}`, runs), { method: "DELETE", headers });
    },
  };
}

/** Vault's audit lines of the credentials that it made. */
async function mints({ bao }: VaultWorld) {
  return (await bao.audit()).filter(
    ({ type, error, request }) =>
      type === "response" && !error && String(request?.path).startsWith("database/creds/"),
  );
}

async function connections(world: VaultWorld): Promise<number> {
  return (await world.roles()).filter(({ connected }) => connected !== null).length;
}

async function recordsOf(path: string) {
  const decisions = new Map<string, DecisionEntry>();
  const leases: LeaseEntry[] = [];
  for await (const record of readLog(path)) {
    if (record.phase === "decision") decisions.set(record.id, record);
    if (record.phase === "lease") leases.push(record);
  }
  return { decisions, leases };
}

function wrong(asItShouldBe: boolean): string {
  return asItShouldBe ? "" : "← not as it should be";
}

function ms(since: number): string {
  return `${Math.round(performance.now() - since)} ms`;
}
