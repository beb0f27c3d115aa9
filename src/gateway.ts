import { readFileSync } from "node:fs";
import type { Catalog } from "./catalog/catalog.ts";
import { createClosing } from "./compose/closing.ts";
import { mountsOf } from "./compose/identity.ts";
import { type Ground, type Opened, openRooms } from "./compose/rooms.ts";
import type { Config } from "./config/config.ts";
import { createGate } from "./gate/gate.ts";
import { createHttp, type Http } from "./http/http.ts";
import { type Clock, systemClock } from "./lib/clock.ts";
import { PortcullisError } from "./lib/errors.ts";
import type { Log } from "./lib/log.ts";
import type { Secret } from "./lib/secret.ts";
import type { PolicyStatus } from "./policy/store.ts";

/** For an application of one's own: reads a portcullis.yaml and all that it names. */
export { load as loadConfig } from "./commands/load.ts";

export interface GatewayOptions {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock?: Clock;
  /** Called once when the decision log cannot be written any more: nothing is served, the process should end. */
  readonly onFatal?: (error: PortcullisError) => void;
}

export interface GatewayStatus {
  readonly url: string;
  readonly ready: readonly string[];
  readonly policies: PolicyStatus;
  readonly catalog: ReturnType<Catalog["status"]>;
  /** Schemas that are invalid, and keywords that are left to the upstream, by target. */
  readonly schemas: readonly { readonly target: string; readonly note: string }[];
  readonly sessions: number;
}

export interface Gateway {
  /** The complete Express app, MCP route included, for anyone's Express app. */
  readonly app: Http["app"];
  /** The MCP route alone, as a plain Node handler: ahead of Express it costs half as much. */
  readonly mcp: Http["mcp"];
  listen(): Promise<{ readonly url: string }>;
  /** The URL of a virtual server, which is also the audience of its tokens. */
  urlOf(server: string): string;
  status(): GatewayStatus;
  /** Approves a changed definition; false if none waits. */
  approve(upstream: string, target: string): Promise<boolean>;
  /** Builds the policies again, as a change of their files does. */
  reload(): Promise<PolicyStatus>;
  /** A token of the embedded authorization server for a sample user. */
  token(user: string, server: string): Promise<Secret>;
  close(): Promise<void>;
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const INFO = { name: "portcullis", version };

/** The composition root: configuration becomes rooms, and the rooms a gateway. Nothing listens before `listen`. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, env, log, clock = systemClock, onFatal = () => {} } = options;
  const urlOf = (server: string) => `${config.listen.public_url}/mcp/${server}`;
  const closing = createClosing(log);
  try {
    const opened = await openRooms({ config, env, info: INFO, urlOf, onFatal, log, clock, closing });
    const gateway = guard(config, opened, { urlOf, log, closing });
    await Promise.all([opened.policies.load(), opened.catalog.start()]);
    return gateway;
  } catch (error) {
    // The log's lock, watchers and children are let go of, so that a host application may try again.
    await closing.closeAll();
    throw error;
  }
}

/** Puts the gate behind its HTTP edge, and both into an operator's hands. */
function guard(
  config: Config,
  opened: Opened,
  { urlOf, log, closing }: Pick<Ground, "urlOf" | "log" | "closing">,
): Gateway {
  const { rooms, catalog, metrics, policies, pins, schemas, embedded } = opened;
  const gate = createGate(rooms);
  const unready = () => [
    ...(rooms.log.healthy ? [] : ["the decision log cannot be written"]),
    ...(policies.status().platform.revision === null ? ["no policy is loaded"] : []),
  ];
  const http = createHttp({
    handle: gate.handle,
    hasServer: (name) => Object.hasOwn(config.servers, name),
    onRefusal: gate.refused,
    publicUrl: config.listen.public_url,
    allowedHosts: config.listen.allowed_hosts,
    allowedOrigins: config.listen.allowed_origins,
    limits: config.limits,
    mounts: mountsOf({ ...opened, config }),
    ready: unready,
    metrics: metrics.text,
    log,
  });

  return {
    app: http.app,
    mcp: http.mcp,
    async listen() {
      const { host, port } = config.listen;
      closing.add(await http.listen(host, port), (listening) => listening.close(config.limits.drain_ms));
      return { url: config.listen.public_url };
    },
    urlOf,
    status: () => ({
      url: config.listen.public_url,
      ready: unready(),
      policies: policies.status(),
      catalog: catalog.status(),
      schemas: schemas.notes(Object.keys(config.servers).flatMap((name) => catalog.view(name).targets)),
      sessions: rooms.sessions.size,
    }),
    async approve(upstream, target) {
      const approved = pins.approve(upstream, target);
      await catalog.refresh(upstream);
      return approved;
    },
    reload: () => policies.reload(),
    token(user, server) {
      if (embedded === null)
        throw new PortcullisError("params_invalid", { reason: "there is no embedded authorization server" });
      const scopes = ["mcp", ...(config.servers[server]?.scopes ?? [])];
      return embedded.mint({ subject: user, resource: urlOf(server), scopes });
    },
    close: () => closing.closeAll(),
  };
}
