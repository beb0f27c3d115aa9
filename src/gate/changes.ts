import type { Catalog } from "../catalog/catalog.ts";
import type { Log } from "../lib/log.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { Rooms } from "./rooms.ts";

export interface ChangesOptions {
  readonly catalog: Pick<Catalog, "onChange">;
  readonly policies: Pick<PolicyStore, "onChange">;
  readonly log: Log;
}

/**
 * A virtual server shows other things when its catalog changes, and when the policies do. A thousand listeners each
 * evaluate their lists then: they are called one at a time, with everything else in between.
 */
export function createChanges({ catalog, policies, log }: ChangesOptions): Rooms["onChange"] {
  const listeners = new Map<() => void, string>();
  const due = new Set<() => void>();

  function changed(server?: string): void {
    const wasIdle = due.size === 0;
    for (const [listener, of] of listeners) if (server === undefined || server === of) due.add(listener);
    if (wasIdle && due.size > 0) setImmediate(next);
  }

  function next(): void {
    const [listener] = due;
    if (listener === undefined) return;
    due.delete(listener);
    try {
      listener();
    } catch (err) {
      log.error({ err }, "a change was not noticed");
    }
    if (due.size > 0) setImmediate(next);
  }

  catalog.onChange(changed);
  policies.onChange(() => changed());

  return (server, listener) => {
    const own = () => listener();
    listeners.set(own, server);
    return () => {
      listeners.delete(own);
      due.delete(own);
    };
  };
}
