import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach } from "vitest";
import type { LogRecord } from "../../src/audit/line.ts";
import { type DecisionLogOptions, openDecisionLog } from "../../src/audit/log.ts";
import { readLog } from "../../src/audit/read.ts";
import type { DecisionEntry, DecisionLog, LeaseEntry, OutcomeEntry } from "../../src/domain.ts";
import { silentLog } from "../../src/lib/log.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

const ROOT = resolve(import.meta.dirname, "../..");

const cleanups: (() => unknown)[] = [];
export const later = (cleanup: () => unknown) => void cleanups.push(cleanup);
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "audit-test-"));
  later(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export const EPOCH = Date.UTC(2026, 10, 22);

export async function openLog(path: string, changes: Partial<DecisionLogOptions> = {}): Promise<DecisionLog> {
  const log = await openDecisionLog({
    path,
    segmentBytes: 1 << 20,
    maxPendingBytes: 1 << 20,
    clock: () => EPOCH,
    log: silentLog,
    onFatal() {},
    ...changes,
  });
  later(() => log.close());
  return log;
}

export async function records(path: string, options?: Parameters<typeof readLog>[1]) {
  const found: LogRecord[] = [];
  for await (const record of readLog(path, options)) found.push(record);
  return found;
}

export const ann = plainPrincipal({
  kind: "user",
  issuer: "https://idp.example",
  subject: "ann",
  tenant: "acme",
  roles: ["support"],
});

export function decisionOf(changes: Partial<DecisionEntry> = {}): DecisionEntry {
  return {
    phase: "decision",
    server: "support",
    era: "modern",
    method: "tools/call",
    rpc_id: 1,
    client_ip: "127.0.0.1",
    revision: { platform: "p1", tenant: "" },
    principal: ann,
    target: { upstream: "crm", kind: "tool", name: "refund" },
    arguments: { amount: 5, note: "naïve – 日本" },
    arguments_sha256: "0".repeat(64),
    context: { now: 1 },
    effect: "allow",
    code: "ok",
    grant: null,
    requirements: {},
    reasons: [],
    trace_id: "",
    ...changes,
  };
}

export function outcomeOf(decision: string, changes: Partial<OutcomeEntry> = {}): OutcomeEntry {
  return {
    phase: "outcome",
    decision,
    status: "ok",
    is_error: false,
    ms: 1,
    bytes: 2,
    lease_sha256: null,
    ...changes,
  };
}

export function leaseOf(decision: string, changes: Partial<LeaseEntry> = {}): LeaseEntry {
  return {
    phase: "lease",
    event: "minted",
    decision,
    lease_sha256: "0".repeat(64),
    expires: 1,
    tenant: "acme",
    issuer: "https://idp",
    subject: "ann",
    run: "",
    source: "crm",
    role: "refunder",
    upstream: "crm",
    server: "support",
    revision: { platform: "p1", tenant: "" },
    request_id: "",
    reason: "",
    ...changes,
  };
}

/** Decides and waits. */
export async function decide(log: DecisionLog, changes: Partial<DecisionEntry> = {}): Promise<string> {
  const id = log.newId();
  await log.decision(id, decisionOf(changes));
  return id;
}

/** Compiles the room as it is now, for child processes: Node 20 cannot run TypeScript. */
export async function compiled(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "audit-dist-"));
  const options = {
    outDir: directory,
    rootDir: join(ROOT, "src"),
    incremental: false,
    declaration: false,
    noCheck: true,
  };
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: options,
    include: [join(ROOT, "src/audit")],
  };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(join(directory, "package.json"), '{"type":"module"}');
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", directory]);
  return directory;
}
