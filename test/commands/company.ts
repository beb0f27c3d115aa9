import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { pinFileText } from "../../src/catalog/pin-file.ts";
import type { Pin } from "../../src/catalog/pins.ts";
import { sha256 } from "../../src/lib/json.ts";

export const CONFIG = `authorization_server:
  users:
    ann: {tenant: acme, roles: [support]}
upstreams:
  crm: {url: "http://127.0.0.1:9/mcp"}
  files: {url: "http://127.0.0.1:9/files"}
servers:
  support: {upstreams: [crm]}
credentials:
  crm: {type: signed-jwt, audience: "https://crm", roles: [reader, refunder], upstreams: [crm]}
  box: {type: signed-jwt, audience: "https://box", upstreams: [files]}
policies: {path: ./policies}
tenants:
  acme: {record: {}, policies: ./acme, servers: [support], credentials: {crm: {roles: [reader]}}}
`;

export const POLICY = `package authz

grant contains {
	"reason": "support refunds",
	"arguments": {"amount": {"maximum": 100}},
	"credential": {"source": "crm", "role": "reader"},
} if {
	input.target.upstream == "crm"
	input.target.name == "refund"
	"support" in input.principal.roles
}
`;

export const OWN = `package authz

deny contains "not for contractors" if "contractor" in input.principal.roles
`;

const SCHEMA = '{"properties":{"amount":{"type":"number"},"note":{"type":"string"}},"type":"object"}';
export const REFUND = `{"description":"Pays back.","inputSchema":${SCHEMA},"name":"refund"}`;

export function pinned(name: string, definition: string, pending: string | null = null): Pin {
  const version = (text: string) => ({ digest: sha256(text), definition: text });
  return {
    upstream: "crm",
    kind: "tool",
    name,
    ...version(definition),
    pending: pending === null ? null : version(pending),
  };
}

/** A small company in a folder of its own, for one test. */
export function company(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "pc-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const all = {
    "portcullis.yaml": CONFIG,
    "policies/authz.rego": POLICY,
    "acme/authz.rego": OWN,
    "pins.json": pinFileText([pinned("refund", REFUND)]),
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}
