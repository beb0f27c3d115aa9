import { type CatalogOptions, createCatalog } from "../../src/catalog/catalog.ts";
import { createMemoryPins } from "../../src/catalog/pins.ts";
import type { Upstream, UpstreamIdentity, UpstreamReply } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";

const IDENTITY: UpstreamIdentity = {
  era: "legacy",
  protocolVersion: "2025-11-25",
  serverInfo: { name: "fixture" },
  capabilities: { tools: {} },
  instructions: "",
};

/** An upstream whose pages of tools are the test's own text. */
export interface Fixture extends Upstream {
  pages: readonly string[];
  /** Set: it cannot be reached. */
  down: boolean;
  asked: number;
  announce(): void;
}

export function tool(name: string, more = ""): string {
  return `{"name":${JSON.stringify(name)},"inputSchema":{"type":"object"}${more}}`;
}

export function page(...tools: string[]): string {
  return `{"tools":[${tools.join(",")}]}`;
}

export function fixture(name: string, ...pages: string[]): Fixture {
  const listeners = new Set<() => void>();
  return {
    name,
    pages,
    down: false,
    asked: 0,
    announce: () => {
      for (const listener of listeners) listener();
    },
    async identify() {
      if (this.down) throw new PortcullisError("upstream_unavailable", { reason: "ECONNREFUSED" });
      return IDENTITY;
    },
    async request({ params }): Promise<UpstreamReply> {
      this.asked += 1;
      const at = typeof params.cursor === "string" ? Number(params.cursor) : 0;
      return { kind: "result", text: this.pages[at] ?? "{}", isError: false, era: "legacy" };
    },
    release: async () => {},
    onToolsChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: async () => {},
  };
}

export function catalogOf(upstreams: readonly Upstream[], more: Partial<CatalogOptions> = {}) {
  return createCatalog({
    servers: { support: upstreams.map(({ name }) => name) },
    upstreams: new Map(upstreams.map((upstream) => [upstream.name, upstream])),
    labels: () => [],
    pins: createMemoryPins(),
    log: silentLog,
    clock: systemClock,
    refreshMs: 60_000,
    ...more,
  });
}
