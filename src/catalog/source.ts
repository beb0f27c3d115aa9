import type { Listed, Upstream, UpstreamIdentity } from "../domain.ts";
import { toPortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { createAnnouncements } from "./announcements.ts";
import { type Discovery, type DiscoveryLimits, discoverList, LISTS, together } from "./discover.ts";

export type SourceState =
  | { readonly kind: "waiting" }
  | { readonly kind: "live"; readonly identity: UpstreamIdentity; readonly discovery: Discovery }
  | { readonly kind: "down"; readonly reason: string };

/** Doubled with each failure in a row, up to `refreshMs`. */
const RETRY_MS = 1000;

export interface SourceOptions {
  readonly upstream: Upstream;
  readonly limits: DiscoveryLimits;
  readonly refreshMs: number;
  readonly log: Log;
  onChange(): void;
}

/** What one upstream offers, kept fresh; shared by all virtual servers that have it. */
export interface Source {
  readonly state: SourceState;
  /** Asks again now. Never rejects: a failure is a state. */
  refresh(): Promise<void>;
  close(): void;
}

export function createSource(options: SourceOptions): Source {
  const { upstream, limits, refreshMs, log, onChange } = options;
  const closing = new AbortController();
  let state: SourceState = { kind: "waiting" };
  let running: Promise<void> | undefined;
  /** Lists that are to be asked for. */
  const wanted = new Set<Listed>();
  const announced = createAnnouncements(refreshMs, () => ask());
  const lists = new Map<Listed, Discovery>();
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  const stopListening = upstream.onChange(announced.hear);

  function schedule(ms: number, next: () => Promise<void>): void {
    clearTimeout(timer);
    if (!closing.signal.aborted) timer = setTimeout(() => void next(), ms).unref();
  }

  async function discover(): Promise<SourceState> {
    // What is not known yet, or may have changed while the upstream was away, is asked for with the rest.
    const heard = announced.take();
    const asked = state.kind === "live" ? new Set([...wanted, ...heard]) : LISTS;
    wanted.clear();
    try {
      const identity = await upstream.identify(closing.signal);
      for (const listed of asked)
        lists.set(listed, await discoverList(listed, { upstream, identity }, limits, closing.signal));
      failures = 0;
      return {
        kind: "live",
        identity,
        discovery: together(LISTS.flatMap((listed) => lists.get(listed) ?? [])),
      };
    } catch (thrown) {
      const { code, reason } = toPortcullisError(thrown);
      failures += 1;
      return { kind: "down", reason: reason === "" ? code : `${code}: ${reason}` };
    }
  }

  async function run(): Promise<void> {
    do {
      const before = state;
      const found = await discover();
      if (closing.signal.aborted) return;
      state = found;
      if (found.kind === "down" && before.kind !== "down") {
        log.warn({ upstream: upstream.name, reason: found.reason }, "upstream offers nothing now");
      }
      onChange();
    } while (wanted.size > 0);
    announced.followed();
    schedule(failures === 0 ? refreshMs : Math.min(refreshMs, RETRY_MS * 2 ** (failures - 1)), refresh);
  }

  function refresh(): Promise<void> {
    for (const listed of LISTS) wanted.add(listed);
    return ask();
  }

  /** One round at a time; what is wanted meanwhile is asked for in the next. */
  function ask(): Promise<void> {
    if (running !== undefined) return running;
    clearTimeout(timer);
    running = run().finally(() => {
      running = undefined;
    });
    return running;
  }

  return {
    get state() {
      return state;
    },
    refresh,
    close() {
      clearTimeout(timer);
      announced.close();
      stopListening();
      closing.abort();
    },
  };
}
