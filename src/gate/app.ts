import { joinMembers, membersOf, scalarIn } from "../lib/members.ts";

/**
 * MCP Apps: a tool's definition without the view that its caller could not read, `_meta.ui.resourceUri` or the older flat
 * `_meta["ui/resourceUri"]`. `mayRead` is asked with the exposed URI.
 */
export function withReadableApp(definition: string, mayRead: (uri: string) => boolean): string {
  if (!definition.includes("resourceUri")) return definition;
  return within(definition, "_meta", (meta) =>
    within(without(meta, "ui/resourceUri", mayRead), "ui", (ui) => without(ui, "resourceUri", mayRead)),
  );
}

/** An object with one of its members, itself an object, changed; the same text where it was not. */
function within(object: string, member: string, change: (text: string) => string): string {
  const members = membersOf(object);
  const before = members.get(member) ?? "";
  const after = before.startsWith("{") ? change(before) : before;
  return after === before ? object : joinMembers(members.set(member, after));
}

function without(object: string, member: string, mayRead: (uri: string) => boolean): string {
  const members = membersOf(object);
  const uri = scalarIn(members.get(member));
  if (typeof uri !== "string" || mayRead(uri)) return object;
  members.delete(member);
  return joinMembers(members);
}
