import type { OutcomeEntry } from "../domain.ts";
import { ERRORS, type ErrorCode } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";

const text = { type: "string" };
const texts = { type: "array", items: text };
const whole = { type: "integer", minimum: 0 };
const object = { type: "object" };
const sha256 = { type: "string", pattern: "^[0-9a-f]{64}$" };
const digestOrNone = { type: "string", pattern: "^([0-9a-f]{64})?$" };
const code = { enum: ["ok", ...Object.keys(ERRORS)] };
/** Beside error codes; typed, so that none is forgotten. */
const statuses: Record<Exclude<OutcomeEntry["status"], ErrorCode>, string> = {
  ok: "it was answered",
  input_required: "its client is asked first, and calls again",
  unknown: "the process ended before it was known",
};

function record(properties: JsonObject, ...optional: readonly string[]): JsonObject {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required, additionalProperties: false };
}

function nullable(schema: JsonObject): JsonObject {
  return { anyOf: [{ type: "null" }, schema] };
}

function line(
  title: string,
  phase: Json,
  properties: JsonObject,
  ...optional: readonly string[]
): JsonObject {
  const stamp = {
    v: { const: 1 },
    seq: { ...whole, description: "The order of records." },
    id: text,
    time: { type: "string", format: "date-time" },
    phase: { const: phase },
  };
  const crc = { type: "string", pattern: "^[0-9a-f]{8}$", description: "CRC-32 of all bytes before it." };
  return { title, ...record({ ...stamp, ...properties, crc }, ...optional) };
}

const revision = record({ platform: text, tenant: text });
const targetId = record({ upstream: text, kind: text, name: text });

const principal = record({
  kind: { enum: ["user", "service"] },
  issuer: text,
  subject: text,
  tenant: text,
  home_tenant: text,
  roles: texts,
  scopes: texts,
  client: text,
  auth_time: { type: "number" },
  acr: text,
  amr: texts,
  actor: text,
  run: nullable(record({ id: text, expires: { type: "number" } })),
  attributes: object,
});

const grant = record({
  layer: { enum: ["platform", "tenant"] },
  reason: text,
  rank: { type: "integer" },
  arguments: object,
  others: { type: "boolean" },
  requires: texts,
  credential: nullable(record({ source: text, role: text, ttl: whole }, "role", "ttl")),
  interaction: texts,
});

const decision = line(
  "A decision, on disk before anything was forwarded",
  "decision",
  {
    server: text,
    era: { enum: ["legacy", "modern", ""] },
    method: text,
    rpc_id: { type: ["string", "integer", "null"] },
    client_ip: text,
    revision,
    principal: nullable(principal),
    target: nullable(targetId),
    arguments: nullable(object),
    arguments_sha256: digestOrNone,
    context: record({ now: { type: "number" } }),
    effect: { enum: ["allow", "deny", "error"] },
    code,
    grant: nullable(grant),
    requirements: { type: "object", additionalProperties: { type: "boolean" } },
    reasons: texts,
    trace_id: text,
    tenant_sha256: { ...sha256, description: "Of the tenant's record that policy saw." },
    target_sha256: { ...sha256, description: "Of the pinned definition and labels that policy saw." },
    within: { ...text, description: "Of a question within a call: the id of the call's decision." },
    named: {
      ...text,
      description:
        "What is asked for beyond the target: the URI of a read, the argument completed, the task.",
    },
    matched: { type: "array", items: targetId, description: "Other targets that the URI of a read matches." },
    matched_sha256: { type: "array", items: sha256 },
    listed: { ...whole, description: "Of a list: how many were shown." },
    of: { ...whole, description: "Of a list: out of how many." },
    targets_sha256: sha256,
    count: { type: "integer", minimum: 2, description: "So many like refusals, counted together." },
  },
  "tenant_sha256",
  "target_sha256",
  "within",
  "named",
  "matched",
  "matched_sha256",
  "listed",
  "of",
  "targets_sha256",
  "count",
);

const outcome = line(
  "What became of an allowed call",
  "outcome",
  {
    decision: text,
    status: {
      enum: [...Object.keys(statuses), ...Object.keys(ERRORS)],
      description: Object.entries(statuses)
        .map(([status, meaning]) => `${status}: ${meaning}.`)
        .join(" "),
    },
    is_error: { type: "boolean" },
    ms: { type: "number", minimum: 0 },
    bytes: whole,
    lease_sha256: nullable(sha256),
    withheld: {
      type: "integer",
      minimum: 1,
      description: "Parts of the answer that were left out as hidden.",
    },
  },
  "withheld",
);

const lease = line("What became of a credential in use", "lease", {
  event: { enum: ["minted", "renewed", "revoked", "dropped", "revocation_failed", "mint_failed"] },
  decision: { ...text, description: "Id of the decision that it was minted for." },
  lease_sha256: { ...digestOrNone, description: "Empty of a mint that failed." },
  expires: { type: "number", description: "Milliseconds since the epoch; 0 of a mint that failed." },
  tenant: text,
  issuer: text,
  subject: text,
  run: text,
  source: text,
  role: text,
  upstream: text,
  server: text,
  revision,
  request_id: { ...text, description: "The source's own id, as in Vault's audit log." },
  reason: text,
});

const operator = line(
  "What an operator did by hand",
  "operator",
  {
    action: { enum: ["tenant/suspend", "tenant/resume", "accounts/unlink", "accounts/shred"] },
    tenant: text,
    reason: text,
    by: { ...text, description: "The operating system's name of the operator, as their command said." },
    issuer: text,
    subject: text,
    account: text,
  },
  "issuer",
  "subject",
  "account",
);

const input = line(
  "What decisions were made on, once in a segment and before the first that names it",
  "input",
  {
    kind: { enum: ["tenant", "target"] },
    sha256: { ...sha256, description: "What records name it by." },
    value: object,
  },
);

const segment = line("The first line of a segment", "segment", {
  open: { ...texts, description: "Allowed decisions that had no outcome yet." },
});

/** JSON Schema (2020-12) of one line of the decision log, as it stands on disk. */
export function recordSchema(): JsonObject {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Portcullis decision log line",
    type: "object",
    oneOf: [decision, outcome, lease, operator, input, segment],
  };
}
