import type { Upstream } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { patiently } from "../lib/patience.ts";
import { type Admission, admit, type Quarantined } from "./admission.ts";
import type { Refusal } from "./definition.ts";
import type { DiscoveryLimits } from "./discover.ts";
import { checkServers, type Servers } from "./names.ts";
import type { PinStore } from "./pins.ts";
import { createSource, type Source } from "./source.ts";
import { type Assembled, assemble, type CatalogView, type Labels, type LeftOut } from "./view.ts";

export interface CatalogOptions {
  readonly servers: Servers;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** From configuration: the only source of labels. */
  readonly labels: Labels;
  readonly pins: PinStore;
  readonly log: Log;
  /** Milliseconds between discoveries of an upstream that announces no changes. */
  readonly refreshMs: number;
  /** Milliseconds that `start` waits for upstreams that do not answer. */
  readonly startMs?: number;
  readonly limits?: Partial<DiscoveryLimits>;
}

export interface UpstreamStatus {
  readonly name: string;
  readonly state: "waiting" | "live" | "down";
  /** Why it is down, or why its pins cannot be read or kept, or "". */
  readonly reason: string;
  /** Era and version, or "". */
  readonly protocol: string;
  readonly targets: number;
  readonly refused: readonly Refusal[];
  readonly quarantined: readonly Quarantined[];
}

export interface CatalogStatus {
  readonly upstreams: readonly UpstreamStatus[];
  readonly servers: readonly {
    readonly name: string;
    readonly targets: number;
    readonly leftOut: readonly LeftOut[];
  }[];
}

export interface Catalog {
  /** Resolves when every upstream has answered, has failed, or `startMs` has passed: the rest goes on meanwhile. */
  start(): Promise<void>;
  /** The current snapshot. Throws `not_found_path` for a server that is not configured. */
  view(server: string): CatalogView;
  status(): CatalogStatus;
  /** Asks an upstream, or all, again now; pins that were approved meanwhile count. */
  refresh(upstream?: string): Promise<void>;
  /** Calls back with a virtual server whose view was replaced. Returns how to stop. */
  onChange(listener: (server: string) => void): () => void;
  close(): void;
}

const LIMITS: DiscoveryLimits = {
  pages: 100,
  targets: 5000,
  templates: 256,
  bytes: 16 << 20,
  pageMs: 10_000,
};
/** How often approvals by another process are looked for, while something waits for one, or for pins to be mended. */
const APPROVAL_MS = 1000;
const NOTHING: Admission = { admitted: [], quarantined: [], refused: [], fault: "" };

/** The targets of each virtual server, as its upstreams announce them, pinned. Throws if names could collide. */
export function createCatalog(options: CatalogOptions): Catalog {
  const { servers, upstreams, labels, pins, log, refreshMs, startMs = 5000 } = options;
  checkServers(servers, upstreams);
  const limits = { ...LIMITS, ...options.limits };
  const used = new Set(Object.values(servers).flat());
  const listeners = new Set<(server: string) => void>();
  const admissions = new Map<string, Admission>();
  /** The pins' version by which each upstream was admitted. */
  const admittedBy = new Map<string, string>();
  const assembled = new Map(
    Object.entries(servers).map(([name, names]) => [name, assemble(names, [], labels)]),
  );
  const sources = new Map<string, Source>();
  let approvals: NodeJS.Timeout | undefined;

  for (const [name, upstream] of upstreams) {
    if (!used.has(name)) continue;
    sources.set(name, createSource({ upstream, limits, refreshMs, log, onChange: () => admitFrom(name) }));
  }

  function admitFrom(name: string): void {
    const state = sources.get(name)?.state;
    const admission = state?.kind === "live" ? admit(name, state.discovery.definitions, pins) : NOTHING;
    const before = admissions.get(name) ?? NOTHING;
    if (admission.fault !== "" && admission.fault !== before.fault)
      log.error({ upstream: name, reason: admission.fault }, "what cannot be pinned is not served");
    const known = new Set(before.quarantined.map(keyOf));
    for (const one of admission.quarantined) {
      const { kind, name: target, difference } = one;
      if (!known.has(keyOf(one)))
        log.warn({ upstream: name, kind, target, difference }, "definition changed: quarantined");
    }
    admissions.set(name, admission);
    admittedBy.set(name, pins.version());
    for (const [server, names] of Object.entries(servers)) if (names.includes(name)) rebuild(server, names);
    lookForApprovals();
  }

  function rebuild(server: string, names: readonly string[]): void {
    const before = assembled.get(server);
    const offers = names.flatMap((name) => {
      const state = sources.get(name)?.state;
      if (state?.kind !== "live") return [];
      const { admitted, quarantined, refused } = admissions.get(name) ?? NOTHING;
      const withheld = [...state.discovery.refused, ...refused, ...quarantined];
      return [{ upstream: name, identity: state.identity, definitions: admitted, withheld }];
    });
    const next: Assembled = assemble(names, offers, labels, before);
    assembled.set(server, next);
    if (next !== before) for (const listener of listeners) listener(server);
  }

  function lookForApprovals(): void {
    clearTimeout(approvals);
    const waiting = [...admissions].filter(
      ([, { quarantined, fault }]) => quarantined.length > 0 || fault !== "",
    );
    if (waiting.length === 0) return;
    approvals = setTimeout(() => {
      const now = pins.version();
      for (const [name, { fault }] of waiting)
        if (fault !== "" || admittedBy.get(name) !== now) admitFrom(name);
      lookForApprovals();
    }, APPROVAL_MS).unref();
  }

  function statusOf(name: string, { state }: Source): UpstreamStatus {
    const { admitted, quarantined, refused, fault } = admissions.get(name) ?? NOTHING;
    const live = state.kind === "live" ? state : undefined;
    return {
      name,
      state: state.kind,
      reason: state.kind === "down" ? state.reason : fault,
      protocol: live === undefined ? "" : `${live.identity.era} ${live.identity.protocolVersion}`,
      targets: admitted.length,
      refused: [...(live?.discovery.refused ?? []), ...refused],
      quarantined,
    };
  }

  async function refresh(upstream?: string): Promise<void> {
    const wanted = [...sources].filter(([name]) => upstream === undefined || name === upstream);
    await Promise.all(wanted.map(([, source]) => source.refresh()));
  }

  return {
    start: async () => void (await patiently(refresh(), startMs)),
    view(server) {
      const found = assembled.get(server);
      if (found === undefined) throw new PortcullisError("not_found_path");
      return found.view;
    },
    status: () => ({
      upstreams: [...sources].map(([name, source]) => statusOf(name, source)),
      servers: [...assembled].map(([name, { view, leftOut }]) => ({
        name,
        targets: view.targets.length,
        leftOut,
      })),
    }),
    refresh,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      clearTimeout(approvals);
      for (const source of sources.values()) source.close();
    },
  };
}

function keyOf({ kind, name }: Quarantined): string {
  return `${kind} ${name}`;
}
