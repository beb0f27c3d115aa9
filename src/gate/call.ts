import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { requireParamHeaders } from "../protocol/headers.ts";
import type { Ask } from "./ask.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** tools/call: one tool, with arguments within its bounds. */
export function call(ask: Ask, rooms: Rooms): Promise<unknown> {
  const { name = "", params, era } = ask.message;
  const args = argumentsOf(params);
  const target = rooms.catalog.view(ask.seen.server).find("tool", name);
  return use(ask, rooms, {
    asked: { upstream: "", kind: "tool", name },
    arguments: args,
    matches: target === undefined ? [] : [{ target, arguments: args }],
    params: ({ target }, allowed) => ({ ...params, name: target.name, arguments: allowed }),
    // Only a target that this principal can see may show what headers it needs.
    onVisible() {
      if (era === "modern" && !ask.isLocal) requireParamHeaders(target?.paramHeaders ?? [], args, ask.header);
    },
  });
}

/** `arguments` of a tool or a prompt. */
export function argumentsOf({ arguments: args = {} }: JsonObject): JsonObject {
  if (!isJsonObject(args))
    throw new PortcullisError("params_invalid", { reason: "arguments is not an object" });
  return args;
}
