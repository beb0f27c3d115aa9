import type { Ask } from "./ask.ts";
import { argumentsOf } from "./call.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** prompts/get: one prompt, with arguments within its bounds. */
export async function get(ask: Ask, rooms: Rooms): Promise<void> {
  const { name = "", params } = ask.message;
  const args = argumentsOf(params);
  const target = rooms.catalog.view(ask.seen.server).find("prompt", name);
  await use(ask, rooms, {
    asked: { upstream: "", kind: "prompt", name },
    arguments: args,
    matches: target === undefined ? [] : [{ target, arguments: args }],
    params: ({ target }, allowed) => ({ ...params, name: target.name, arguments: allowed }),
  });
}
