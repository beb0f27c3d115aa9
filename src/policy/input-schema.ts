import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

const text = { type: "string" };
const texts = { type: "array", items: text };

/** Every property required, no others. */
function record(properties: JsonObject): JsonObject {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

/**
 * JSON Schema (2020-12) of `input`, as policies see it: what `check` type-checks against and `portcullis schema input`
 * prints. `arguments` is there for requirements alone.
 *
 * @param tenantSchema of the tenant's record; `id` is required whatever it says
 */
export function inputSchema(tenantSchema: JsonObject = {}): JsonObject {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Portcullis policy input",
    ...record({
      principal: record({
        kind: { enum: ["user", "service"], type: "string" },
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
        run: { anyOf: [{ type: "null" }, record({ id: text, expires: { type: "number" } })] },
        attributes: { type: "object" },
      }),
      tenant: withId(embedded(tenantSchema, "/properties/tenant")),
      target: record({
        upstream: text,
        kind: {
          enum: ["tool", "resource", "template", "prompt", "server", "sampling", "elicitation", "roots"],
          type: "string",
        },
        name: text,
        labels: texts,
        announced: { type: "object" },
      }),
      server: text,
      context: record({ now: { type: "number" } }),
      arguments: { type: "object" },
    }),
  };
}

/** The tenant's record always has an id. A schema that names no properties leaves all others open. */
function withId(schema: JsonObject): JsonObject {
  const required = Array.isArray(schema.required) ? schema.required : [];
  const { properties } = schema;
  const named: JsonObject = isJsonObject(properties) ? { properties: { id: text, ...properties } } : {};
  return { type: "object", ...schema, ...named, required: [...new Set(["id", ...required])] };
}

/** A schema moved to `at`: its local references move with it, its own identity goes. */
function embedded(schema: JsonObject, at: string): JsonObject {
  const { $schema: _, $id: __, ...rest } = schema;
  return moved(rest, at) as JsonObject;
}

function moved(node: Json, at: string): Json {
  if (Array.isArray(node)) return node.map((item) => moved(item, at));
  if (!isJsonObject(node)) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === "$ref" && typeof value === "string" && value.startsWith("#")
        ? `#${at}${value.slice(1)}`
        : moved(value, at),
    ]),
  );
}
