import { expect, test } from "vitest";
import { STATE_MS } from "../../src/gate/turn.ts";
import { ERRORS, PortcullisError } from "../../src/lib/errors.ts";
import { errorText } from "../../src/lib/rpc.ts";
import { codes, readPage } from "./page.ts";

const page = readPage("errors.md");

test("the table is the one that the gateway refuses by", () => {
  const rows = page.table("Code", "HTTP", "JSON-RPC", "The caller is told", "What to do");
  const told = Object.fromEntries(
    rows.map(([code, http, rpc, text]) => [codes(code)[0], { http: Number(http), rpc: Number(rpc), text }]),
  );
  expect(told).toEqual(ERRORS);
  expect(Object.keys(told)).toEqual(Object.keys(ERRORS));
  expect(rows.filter(([, , , , todo = ""]) => todo === "")).toEqual([]);
});

test("what to do is what can be done", () => {
  const todo = new Map(
    page
      .table("Code", "HTTP", "JSON-RPC", "The caller is told", "What to do")
      .map((row) => [codes(row[0] ?? "")[0], row[4]]),
  );
  for (const method of ["POST", "GET", "DELETE"]) expect(todo.get("method_not_allowed")).toContain(method);
  expect(STATE_MS).toBe(10 * 60_000);
  expect(todo.get("state_invalid")).toContain("ten minutes");
});

test("a code never disappears and never changes its numbers", () => {
  expect(Object.entries(ERRORS).map(([code, { http, rpc }]) => `${code} ${http} ${rpc}`)).toEqual(PINNED);
});

test("the refusals on the page are what the gateway writes", () => {
  const lines = page.text.split("\n").filter((line) => line.startsWith('{"jsonrpc"'));
  const { not_found, token_missing } = ERRORS;
  expect(not_found.http).toBe(200);
  expect(token_missing.http).toBe(401);
  const bound = { pointer: "/amount", bound: { maximum: 200 } };
  const text = "/amount must be at most 200 (policy).";
  expect(lines).toEqual([
    errorText(1, new PortcullisError("argument_out_of_bounds", { text, data: bound })),
    errorText(1, new PortcullisError("not_found")),
    errorText(1, new PortcullisError("token_missing")),
  ]);
});

/** Part of the interface: add a line for a new code, and change none. */
const PINNED = [
  "not_found_path 404 -32600",
  "method_not_allowed 405 -32600",
  "host_refused 403 -32600",
  "origin_refused 403 -32600",
  "header_repeated 400 -32600",
  "header_malformed 400 -32600",
  "transfer_encoding_refused 400 -32600",
  "content_type_refused 415 -32600",
  "not_acceptable 406 -32600",
  "body_too_large 413 -32600",
  "body_incomplete 400 -32600",
  "body_consumed 500 -32603",
  "request_timeout 408 -32600",
  "request_pipelined 400 -32600",
  "json_invalid 400 -32700",
  "json_refused 400 -32700",
  "request_invalid 400 -32600",
  "params_invalid 400 -32602",
  "method_unknown 404 -32601",
  "header_mismatch 400 -32020",
  "version_unsupported 400 -32022",
  "id_in_use 400 -32600",
  "session_required 400 -32600",
  "session_unknown 404 -32001",
  "too_many_sessions 429 -32003",
  "too_many_subscriptions 429 -32003",
  "state_invalid 200 -32602",
  "capability_missing 400 -32021",
  "store_unavailable 503 -32002",
  "token_missing 401 -32001",
  "token_invalid 401 -32001",
  "token_expired 401 -32001",
  "token_in_query 400 -32600",
  "insufficient_scope 403 -32001",
  "run_ended 401 -32001",
  "run_refused 403 -32001",
  "run_unknown 404 -32600",
  "too_many_runs 429 -32003",
  "tenant_unknown 403 -32001",
  "tenant_suspended 403 -32001",
  "identity_unavailable 503 -32002",
  "not_found 200 -32602",
  "arguments_invalid 200 -32602",
  "argument_out_of_bounds 200 -32602",
  "arguments_too_costly 200 -32602",
  "requirement_not_met 200 -32004",
  "ambiguous_grant 200 -32004",
  "interaction_refused 200 -32004",
  "policy_failed 200 -32005",
  "policy_unavailable 503 -32002",
  "audit_unavailable 503 -32002",
  "credential_refused 200 -32006",
  "credential_unavailable 503 -32006",
  "credential_rejected 200 -32006",
  "vault_unreachable 503 -32006",
  "vault_sealed 503 -32006",
  "vault_standby 503 -32006",
  "vault_timeout 503 -32006",
  "vault_quota 503 -32006",
  "vault_tenant_locked 503 -32006",
  "vault_failed 503 -32006",
  "vault_denied 200 -32006",
  "vault_login_refused 200 -32006",
  "vault_role_unknown 200 -32006",
  "vault_secret_missing 200 -32006",
  "account_required 200 -32042",
  "account_unavailable 503 -32006",
  "idp_unavailable 503 -32006",
  "idp_refused 200 -32006",
  "upstream_unavailable 200 -32007",
  "upstream_timeout 200 -32007",
  "upstream_protocol 200 -32007",
  "cancelled 200 -32008",
  "shutting_down 503 -32002",
  "overloaded 503 -32002",
  "folder_exposed 500 -32603",
  "control_unusable 500 -32603",
  "folder_unusable 500 -32603",
  "pins_unusable 500 -32603",
  "listen_failed 500 -32603",
  "internal 500 -32603",
];
