import type { Era, Listed, ListedKind } from "../domain.ts";
import { digest } from "../lib/json.ts";
import { type Hearer, hearing } from "./hearer.ts";
import { listedDefinition, usableOf } from "./list.ts";
import type { Rooms } from "./rooms.ts";

/** The lists of one client as it could last have read them: it is told of a change only where its own list changed. */
export interface ShownLists {
  /** From now on it is to hear of these, and of no others. */
  watch(lists: ReadonlySet<Listed>): void;
  /** Tells of each that has changed. */
  tell(): void;
}

const KINDS: Readonly<Record<Listed, readonly ListedKind[]>> = {
  tools: ["tool"],
  resources: ["resource", "template"],
  prompts: ["prompt"],
};

export function createShownLists(
  rooms: Pick<Rooms, "capabilities" | "catalog" | "clock" | "policies">,
  hearer: Hearer,
  era: Era,
  onChange: (what: Listed) => void,
): ShownLists {
  const shown = new Map<Listed, string>();
  let watched: ReadonlySet<Listed> = new Set();

  function listOf(what: Listed): string {
    const deciding = hearing(rooms, hearer);
    const view = rooms.catalog.view(hearer.server);
    return digest(
      KINDS[what].flatMap((kind) =>
        usableOf(kind, deciding, rooms, view).map((usable) => listedDefinition(usable, era)),
      ),
    );
  }

  return {
    watch(lists) {
      watched = lists;
      for (const what of lists) if (!shown.has(what)) shown.set(what, listOf(what));
    },
    tell() {
      for (const what of watched) {
        const now = listOf(what);
        if (now !== shown.get(what)) onChange(what);
        shown.set(what, now);
      }
    },
  };
}
