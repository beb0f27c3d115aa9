import { type CatalogOptions, createCatalog } from "../../src/catalog/catalog.ts";
import { createMemoryPins } from "../../src/catalog/pins.ts";
import type { Listed, Upstream, UpstreamIdentity, UpstreamReply } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";

const IDENTITY: UpstreamIdentity = {
  era: "legacy",
  protocolVersion: "2025-11-25",
  serverInfo: { name: "fixture" },
  capabilities: { tools: {}, resources: {}, prompts: {} },
  instructions: "",
};

const LISTS = {
  "tools/list": "tools",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates",
  "prompts/list": "prompts",
};
export type ListMethod = keyof typeof LISTS;

/** An upstream whose lists are the test's own text. */
export interface Fixture extends Upstream {
  /** Of tools. */
  pages: readonly string[];
  /** Definitions of the other lists; a method that is not there is not known to it. */
  others: Partial<Record<ListMethod, readonly string[]>>;
  identity: UpstreamIdentity;
  /** Set: it cannot be reached. */
  down: boolean;
  /** For tools. */
  asked: number;
  readonly methods: string[];
  announce(what?: Listed): void;
}

export function tool(name: string, more = ""): string {
  return `{"name":${JSON.stringify(name)},"inputSchema":{"type":"object"}${more}}`;
}

export function page(...tools: string[]): string {
  return `{"tools":[${tools.join(",")}]}`;
}

export function resource(uri: string, more = ""): string {
  return `{"uri":${JSON.stringify(uri)},"name":"r"${more}}`;
}

export function template(uriTemplate: string, more = ""): string {
  return `{"uriTemplate":${JSON.stringify(uriTemplate)},"name":"t"${more}}`;
}

export function prompt(name: string, more = ""): string {
  return `{"name":${JSON.stringify(name)}${more}}`;
}

/** An upstream that lists these resources and templates. */
export function library(
  name: string,
  resources: readonly string[],
  templates: readonly string[] = [],
): Fixture {
  const upstream = fixture(name, page());
  upstream.others = {
    "resources/list": resources.map((uri) => resource(uri)),
    "resources/templates/list": templates.map((text) => template(text)),
  };
  return upstream;
}

export function fixture(name: string, ...pages: string[]): Fixture {
  const listeners = new Set<(what: Listed) => void>();
  return {
    name,
    pages,
    others: {},
    identity: IDENTITY,
    methods: [],
    down: false,
    asked: 0,
    announce: (what = "tools") => {
      for (const listener of listeners) listener(what);
    },
    async identify() {
      if (this.down) throw new PortcullisError("upstream_unavailable", { reason: "ECONNREFUSED" });
      return this.identity;
    },
    async request({ method, params }): Promise<UpstreamReply> {
      this.methods.push(method);
      if (method !== "tools/list") return listOf(method as ListMethod, this.others);
      this.asked += 1;
      const at = typeof params.cursor === "string" ? Number(params.cursor) : 0;
      return { kind: "result", text: this.pages[at] ?? "{}", isError: false, era: "legacy" };
    },
    release: async () => {},
    releaseWhere: async () => {},
    rootsChanged: async () => {},
    listen: async () => ({ refused: new Map() }),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: async () => {},
  };
}

function listOf(method: ListMethod, others: Fixture["others"]): UpstreamReply {
  const found = others[method];
  return found === undefined
    ? { kind: "error", text: '{"code":-32601,"message":"no such method"}', isError: true, era: "legacy" }
    : { kind: "result", text: `{"${LISTS[method]}":[${found.join(",")}]}`, isError: false, era: "legacy" };
}

export function catalogOf(upstreams: readonly Upstream[], more: Partial<CatalogOptions> = {}) {
  return createCatalog({
    servers: { support: upstreams.map(({ name }) => name) },
    upstreams: new Map(upstreams.map((upstream) => [upstream.name, upstream])),
    labels: () => [],
    pins: createMemoryPins(),
    log: silentLog,
    refreshMs: 60_000,
    ...more,
  });
}
