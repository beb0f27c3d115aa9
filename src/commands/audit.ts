import { resolve } from "node:path";
import type { DecisionRecord, LogRecord } from "../audit/line.ts";
import { type Decided, readDecided, readLog, type Verification, verifyLog } from "../audit/read.ts";
import { listSegments, placed } from "../audit/segments.ts";
import { whyUnread } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { loadOrTell } from "./load.ts";
import { columns, count, json, printable } from "./print.ts";

export interface AuditOptions extends CommonOptions {
  readonly arguments: readonly string[];
  /** A folder of segments, such as a copy; without, the configured one. */
  readonly log?: string;
}

const USAGE = "portcullis: audit verify [--log FOLDER], or audit show ID|NUMBER [--log FOLDER]\n";

/** `portcullis audit`: whether a decision log is whole, and all that it says of one decision. It may be in use. */
export async function audit(options: AuditOptions, around: Surroundings): Promise<ExitCode> {
  const [verb, id, ...more] = options.arguments;
  const known = verb === "verify" ? id === undefined : verb === "show" && id !== undefined;
  if (!known || more.length > 0) {
    around.stderr.write(USAGE);
    return 2;
  }
  const path = await folderOf(options, around);
  if (path === null) return 2;
  const found = await listSegments(path).catch((error: NodeJS.ErrnoException) => error);
  if (!Array.isArray(found) || found.length === 0) {
    const why = Array.isArray(found) || found.code === "ENOENT" ? "" : `: ${whyUnread(found)}`;
    around.stderr.write(`portcullis: there is no decision log in ${path}${why}\n`);
    return 2;
  }
  return id === undefined ? verify(path, options, around) : show(path, id, options, around);
}

async function folderOf(options: AuditOptions, around: Surroundings): Promise<string | null> {
  if (options.log !== undefined) return resolve(around.cwd, options.log);
  return (await loadOrTell(options, around))?.audit.path ?? null;
}

/** 1: a line was altered, moved or taken out. */
async function verify(path: string, options: AuditOptions, { stdout }: Surroundings): Promise<ExitCode> {
  const checked = await verifyLog(path);
  stdout.write(options.json ? json(checked) : told(checked));
  return checked.ok ? 0 : 1;
}

function told(checked: Verification): string {
  if (!checked.ok) return `damaged: ${placed(checked.file, checked)}\n`;
  const { segments, first, last, torn, open } = checked;
  const records = last < first ? "no records" : `records ${first} to ${last}`;
  const lines = [`whole: ${count(segments, "segment")}, ${records}`];
  if (open.length > 0) lines.push(`without an outcome: ${open.join(", ")}`);
  if (torn > 0)
    lines.push(`unfinished: ${count(torn, "byte")} at the end, as a write leaves that was cut off`);
  return lines.map((line) => `${line}\n`).join("");
}

/** 1: there is no such decision. */
async function show(
  path: string,
  id: string,
  options: AuditOptions,
  around: Surroundings,
): Promise<ExitCode> {
  const decided = await decisionOf(path, id);
  if (decided === null) {
    around.stderr.write(`portcullis: there is no decision ${printable(id)} in ${path}\n`);
    return 1;
  }
  const { seq, id: known } = decided.record;
  const followed: LogRecord[] = [];
  for await (const record of readLog(path, { from: seq, filter: (one) => belongs(one, known) }))
    followed.push(record);
  around.stdout.write(
    options.json
      ? json({ decision: decided.record, input: inputOf(decided), matched: decided.matched, followed })
      : described(decided.record) + columns(followed.map(followedRow)),
  );
  return 0;
}

/** By its id, or by its number, which is shorter than any id. */
async function decisionOf(path: string, id: string): Promise<Decided | null> {
  const number = /^#?(\d{1,15})$/.exec(id)?.[1];
  const seq = number === undefined ? null : Number(number);
  for await (const decided of readDecided(path, { from: seq ?? 0 })) {
    if (seq === null ? decided.record.id === id : decided.record.seq === seq) return decided;
    if (seq !== null && decided.record.seq > seq) return null;
  }
  return null;
}

function belongs(record: LogRecord, id: string): boolean {
  if (record.phase === "decision") return record.within === id;
  return record.phase !== "operator" && record.decision === id;
}

/** What the policies saw, as `portcullis eval --input` reads it; null where the log does not hold it whole. */
function inputOf({ record, tenant, target }: Decided): JsonObject | null {
  if (record.principal === null || tenant === undefined || target === undefined) return null;
  const { principal, server, context } = record;
  const { upstream = "", kind = "", name = "", labels = [], announced = {} } = target;
  const seen = { upstream, kind, name, labels, announced };
  return {
    principal: { ...principal },
    tenant,
    target: seen,
    server,
    context,
    arguments: record.arguments ?? {},
  };
}

function described(record: DecisionRecord): string {
  const { principal, target, grant, revision, requirements, reasons } = record;
  const asked = requirementsIn(requirements);
  const rows: readonly (readonly [string, string])[] = [
    [`#${record.seq}`, `${record.time}  ${record.id}`],
    ["who", principal === null ? `nobody known, from ${record.client_ip}` : whoIs(principal)],
    ["asked", `${record.method} on ${record.server}`],
    ["target", target === null ? "" : `${target.upstream}: ${target.kind} ${target.name}`],
    ["arguments", record.arguments === null ? "" : JSON.stringify(record.arguments)],
    ["decided", record.code === "ok" ? record.effect : `${record.effect}: ${record.code}`],
    ["reasons", reasons.join("; ")],
    ["grant", grant === null ? "" : `${grant.reason} (${grant.layer}, rank ${grant.rank})`],
    ["requires", asked],
    ["platform", revision.platform],
    ["tenant", revision.tenant],
  ];
  return columns(rows.filter(([, text]) => text !== "").map(([name, text]) => [name, printable(text)]));
}

function whoIs({
  subject,
  tenant,
  issuer,
  roles,
  client,
  run,
}: NonNullable<DecisionRecord["principal"]>): string {
  const parts = [`${subject} of ${tenant}`, `as ${roles.join(", ") || "no role"}`, `by ${issuer}`];
  if (client !== "") parts.push(`with ${client}`);
  if (run !== null) parts.push(`in run ${run.id}`);
  return parts.join(", ");
}

function requirementsIn(requirements: DecisionRecord["requirements"]): string {
  return Object.entries(requirements)
    .map(([name, held]) => `${name} ${held ? "held" : "did not hold"}`)
    .join(", ");
}

/** The tool's own error comes with an answer; any other status is the gateway's word. */
function cameOf({ status, is_error }: Extract<LogRecord, { phase: "outcome" }>): string {
  return status === "ok" && is_error ? "ok, an error of the tool" : status;
}

/** What came of it. */
function followedRow(record: LogRecord): readonly string[] {
  const head = [`#${record.seq}`, record.time];
  switch (record.phase) {
    case "decision":
      return [...head, "question", printable(`${record.method}: ${record.effect}`)];
    case "lease":
      return [...head, "lease", printable(`${record.event}: ${record.source} ${record.role}`.trimEnd())];
    case "outcome":
      return [...head, "outcome", cameOf(record)];
    case "operator":
      return [...head, "operator", record.action];
  }
}
