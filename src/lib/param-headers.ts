import { isJsonObject, type Json, type JsonObject, valueAt } from "./json.ts";

/** An `x-mcp-header` declaration (MCP 2026-07-28): the header's name, and the path of its value in the arguments. */
export interface ParamHeader {
  readonly name: string;
  readonly path: readonly string[];
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TYPES = new Set(["string", "integer", "boolean"]);
const KEY = "x-mcp-header";

/**
 * The `x-mcp-header` declarations of a tool's inputSchema (MCP 2026-07-28, Streamable HTTP): only on primitive
 * properties that a chain of `properties` reaches. Undefined when one is invalid: then the tool must not be listed.
 */
export function declaredParamHeaders(inputSchema: JsonObject): readonly ParamHeader[] | undefined {
  const found: ParamHeader[] = [];
  const properties = (schema: JsonObject, path: readonly string[]): void => {
    const children = schema.properties;
    if (!isJsonObject(children)) return;
    for (const [key, child] of Object.entries(children)) {
      if (!isJsonObject(child)) continue;
      const { [KEY]: name, type } = child;
      if (typeof name === "string" && TOKEN.test(name) && typeof type === "string" && TYPES.has(type)) {
        found.push({ name, path: [...path, key] });
      }
      properties(child, [...path, key]);
    }
  };
  properties(inputSchema, []);
  const unique = new Set(found.map(({ name }) => name.toLowerCase())).size === found.length;
  return unique && declarations(inputSchema, false) === found.length ? found : undefined;
}

/** Every `x-mcp-header` anywhere in the schema: more than were found where one may stand means one is misplaced. */
function declarations(value: Json, isPropertyMap: boolean): number {
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + declarations(one, false), 0);
  if (!isJsonObject(value)) return 0;
  let count = Object.hasOwn(value, KEY) && !isPropertyMap ? 1 : 0;
  for (const [key, child] of Object.entries(value))
    count += declarations(child, key === "properties" && !isPropertyMap);
  return count;
}

/** Values for `Mcp-Param-*` from a call's arguments; an absent or null argument has no header. */
export function paramHeaders(
  declared: readonly ParamHeader[],
  args: JsonObject,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { name, path } of declared) {
    const value = valueAt(args, path);
    if (typeof value === "string" || typeof value === "boolean") values.set(name, String(value));
    if (typeof value === "number" && Number.isSafeInteger(value)) values.set(name, String(value));
  }
  return values;
}
