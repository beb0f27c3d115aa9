import type { JsonObject } from "../lib/json.ts";

/** One decision that a company relies on: who asks, what for, and what has to come out. */
export interface GoldenCase {
  readonly name: string;
  readonly principal: GoldenPrincipal;
  /** The virtual server. */
  readonly server: string;
  /** RFC 3339; the time that policies see. */
  readonly now?: string;
  readonly request: {
    readonly method: (typeof METHODS)[number];
    readonly params?: JsonObject;
  };
  readonly want: GoldenWant;
}

export interface GoldenPrincipal {
  /** A sample user, or any subject where `tenant` is given too. */
  readonly user: string;
  readonly tenant?: string;
  readonly roles?: readonly string[];
  readonly scopes?: readonly string[];
  readonly attributes?: JsonObject;
  /** Seconds since the login; 60 when absent. */
  readonly login_age?: number;
}

export interface GoldenWant {
  readonly effect: "allow" | "deny";
  /** `ok`, or the stable code of the refusal. */
  readonly code: string;
  /** The reason of the chosen grant (where a bound failed: of the one that came closest), or null. */
  readonly grant: string | null;
  /** Exposed names of what is listed (of resources their URIs, of templates their URI templates), in any order. */
  readonly listed?: readonly string[];
  /** What goes to the upstream: the arguments of a tool or a prompt; of anything else its params. */
  readonly forwarded?: JsonObject;
  /** Members of the decision's record: a mapping is compared member by member, anything else whole. */
  readonly record?: JsonObject;
}

/** A case is one request of a legacy client whose session is open. */
const METHODS = [
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "prompts/list",
  "prompts/get",
  "completion/complete",
  "logging/setLevel",
] as const;

/** When no case says otherwise. */
export const DEFAULT_NOW = "2026-11-02T09:00:00Z";

const text = { type: "string", minLength: 1 };
const texts = { type: "array", items: text };
const free = { type: "object" };

function closed(properties: JsonObject, ...optional: readonly string[]): JsonObject {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required, additionalProperties: false };
}

/** JSON Schema (2020-12) of a case file: YAML or JSON. */
export function caseSchema(): JsonObject {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Golden case",
    ...closed(
      {
        name: text,
        principal: closed(
          {
            user: text,
            tenant: text,
            roles: texts,
            scopes: texts,
            attributes: free,
            login_age: { type: "integer", minimum: 0 },
          },
          "tenant",
          "roles",
          "scopes",
          "attributes",
          "login_age",
        ),
        server: text,
        now: { type: "string", format: "date-time" },
        request: closed({ method: { enum: METHODS }, params: free }, "params"),
        want: closed(
          {
            effect: { enum: ["allow", "deny"] },
            code: text,
            grant: { type: ["string", "null"] },
            listed: { ...texts, uniqueItems: true },
            forwarded: free,
            record: free,
          },
          "listed",
          "forwarded",
          "record",
        ),
      },
      "now",
    ),
  };
}
