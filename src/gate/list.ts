import type { Target } from "../domain.ts";
import { digest } from "../lib/json.ts";
import { joinMembers } from "../lib/members.ts";
import type { OpenCapability } from "../policy/capability.ts";
import { listResult } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { pageOf } from "./cursor.ts";
import { describe } from "./description.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** tools/list: the tools that this principal can use, each with the schema of what it may be called with. */
export async function list(ask: Ask, rooms: Rooms): Promise<void> {
  const { targets } = rooms.catalog.view(ask.seen.server);
  const capabilities = rooms.capabilities.of(ask.policy, ask.context, targets);
  const usable = targets.flatMap((target, index) => {
    const capability = capabilities[index];
    return capability?.listed ? [{ target, capability }] : [];
  });
  const listDigest = digest(usable.map(({ target }) => target.digest));
  const page = pageOf(usable, listDigest, ask.message.params.cursor, rooms.limits.page);

  await record(rooms, ask.seen, {
    effect: "allow",
    code: "ok",
    listed: usable.length,
    of: targets.length,
    targets_sha256: listDigest,
  });
  const definitions = page.items.map(({ target, capability }) => listedDefinition(target, capability));
  const { serverInfo } = describe(rooms, ask.seen.server);
  ask.answer.result(listResult(ask.message.era, "tools", definitions, page.next, serverInfo));
}

const texts = new WeakMap<OpenCapability, string>();

/** The definition as announced, under its exposed name, narrowed to what this principal may send. */
function listedDefinition(target: Target, capability: OpenCapability): string {
  const known = texts.get(capability);
  if (known !== undefined) return known;
  const members = new Map(target.definition);
  members.set("name", JSON.stringify(target.exposedName));
  const { inputSchema, note } = capability.listing();
  const narrowed = JSON.stringify(inputSchema);
  // What policy leaves alone keeps the upstream's own bytes.
  if (narrowed !== JSON.stringify(target.inputSchema)) members.set("inputSchema", narrowed);
  if (note !== "") members.set("description", JSON.stringify(described(target, note)));
  const text = joinMembers(members);
  texts.set(capability, text);
  return text;
}

function described(target: Target, note: string): string {
  const { description } = target.announced;
  return typeof description === "string" && description !== "" ? `${description}\n\n${note}` : note;
}
