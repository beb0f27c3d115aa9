import { parseConfig } from "../../src/config/config.ts";
import type { ConfigProblem } from "../../src/config/problems.ts";

const FILE = "/etc/portcullis/portcullis.yaml";

/** Nine lines that are enough. */
export const MINIMAL = `issuers:
  - {issuer: "https://idp.example", jwks_uri: "https://idp.example/keys", tenant: {claim: tenant}}
upstreams:
  crm: {url: "http://127.0.0.1:9001/mcp"}
servers:
  support: {upstreams: [crm]}
policies: {path: ./policies}
tenants:
  acme: {record: {}, servers: [support]}
`;

/** `row:col code message (hint)` of each problem. */
export function problemsOf(text: string): string[] {
  const parsed = parseConfig(text, FILE);
  return parsed.ok ? [] : parsed.problems.map(shortly);
}

export function shortly({ row, col, code, message, hint }: ConfigProblem): string {
  return `${row}:${col} ${code} ${message}${hint === "" ? "" : ` (${hint})`}`;
}
