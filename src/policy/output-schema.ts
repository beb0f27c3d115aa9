import type { JsonObject } from "../lib/json.ts";
import { FORMATS } from "./format.ts";

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
const TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"];

const text = { type: "string", minLength: 1 };
const number = { type: "number" };
const length = { type: "integer", minimum: 0 };
const flag = { type: "boolean" };
const bound = { $ref: "#/$defs/bound" };
const bounds = { type: "object", additionalProperties: bound };
const requires = { type: "array", items: { type: "string", pattern: "^[A-Za-z0-9_.-]{1,128}$" } };

function closed(properties: JsonObject, required: readonly string[] = []): JsonObject {
  return { type: "object", properties, required, additionalProperties: false };
}

const $defs: JsonObject = {
  bound: {
    description: "A bound on one argument, which must be present unless it is optional.",
    ...closed({
      type: { anyOf: [{ enum: TYPES }, { type: "array", items: { enum: TYPES }, minItems: 1 }] },
      enum: { type: "array" },
      const: true,
      minimum: number,
      maximum: number,
      exclusiveMinimum: number,
      exclusiveMaximum: number,
      multipleOf: { type: "number", exclusiveMinimum: 0 },
      minLength: length,
      maxLength: length,
      pattern: { type: "string", description: "RE2; matches the whole string." },
      format: { enum: [...FORMATS.keys()].sort() },
      items: bound,
      minItems: length,
      maxItems: length,
      uniqueItems: flag,
      properties: bounds,
      others: { type: "boolean", description: "With properties; false: no others." },
      forbidden: { const: true, description: "Alone: the argument must be absent." },
      optional: { type: "boolean", description: "The argument may be absent." },
      set: { description: "Alone: the gateway sends this; the caller neither sees nor sends it." },
    }),
  },
};

/** JSON Schema (2020-12) of one element of policy's `grant`; the engine itself checks what a schema cannot say. */
export function grantSchema(): JsonObject {
  const properties = {
    reason: { ...text, description: "Why, for the record." },
    rank: {
      type: "integer",
      default: 100,
      description: "Of several that a call meets, the lowest is chosen.",
    },
    arguments: bounds,
    others: { type: "boolean", default: true, description: "false: no argument but the bounded ones." },
    requires,
    credential: closed(
      { source: text, role: text, ttl: { type: "integer", minimum: 1, description: "Seconds." } },
      ["source"],
    ),
    interaction: { type: "array", items: { enum: ["elicitation", "sampling", "roots"] } },
  };
  return { $schema: DIALECT, title: "Portcullis grant", ...closed(properties, ["reason"]), $defs };
}

/** JSON Schema (2020-12) of one element of policy's `limit`. */
export function limitSchema(): JsonObject {
  const must_exist = { ...flag, description: "true: a target without the argument is closed." };
  return {
    $schema: DIALECT,
    title: "Portcullis limit",
    ...closed({ arguments: bounds, requires, must_exist }),
    $defs,
  };
}
