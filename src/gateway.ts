import type { Readable, Writable } from "node:stream";
import { createClosing } from "./compose/closing.ts";
import type { Ground } from "./compose/ground.ts";
import { mountsOf } from "./compose/mounts.ts";
import { createOperator, type Operator } from "./compose/operator.ts";
import { type Opened, openRooms } from "./compose/rooms.ts";
import { type GatewayStatus, statusOf } from "./compose/status.ts";
import type { Config } from "./config/config.ts";
import type { ListedKind } from "./domain.ts";
import { createGate } from "./gate/gate.ts";
import { createHttp, type Http } from "./http/http.ts";
import { createLocalIdentity } from "./identity/local.ts";
import { type Clock, systemClock } from "./lib/clock.ts";
import { PortcullisError } from "./lib/errors.ts";
import type { Log } from "./lib/log.ts";
import type { Secret } from "./lib/secret.ts";
import { version } from "./lib/version.ts";
import { serveStdio } from "./local/stdio-transport.ts";
import type { PolicyStatus } from "./policy/store.ts";

/** For an application of one's own: reads a portcullis.yaml and all that it names. */
export { load as loadConfig } from "./compose/load.ts";
export type { GatewayStatus } from "./compose/status.ts";

export interface GatewayOptions {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock?: Clock;
  /** Called once when the decision log cannot be written any more: nothing is served, the process should end. */
  readonly onFatal?: (error: PortcullisError) => void;
}

export interface Gateway {
  /** The complete Express app, MCP route included, for anyone's Express app. */
  readonly app: Http["app"];
  /** The MCP route alone, as a plain Node handler: ahead of Express it costs half as much. */
  readonly mcp: Http["mcp"];
  listen(): Promise<{ readonly url: string }>;
  /** Serves one client over a pair of streams, as this operating system's user, until the input ends. */
  stdio(client: StdioClient): Promise<void>;
  /** The URL of a virtual server, which is also the audience of its tokens. */
  urlOf(server: string): string;
  status(): GatewayStatus;
  readonly operator: Operator;
  /** Approves a changed definition; false if none waits. */
  approve(upstream: string, target: string, kind?: ListedKind): Promise<boolean>;
  /** Builds the policies again, as a change of their files does. */
  reload(): Promise<PolicyStatus>;
  /** A token of the embedded authorization server for a sample user. */
  token(user: string, server: string): Promise<Secret>;
  close(): Promise<void>;
}

export interface StdioClient {
  /** The virtual server. */
  readonly server: string;
  /** The operating system's name of the user. */
  readonly user: string;
  readonly input: Readable;
  readonly output: Writable;
  readonly signal: AbortSignal;
}

const INFO = { name: "portcullis", version };

/** The composition root: configuration becomes rooms, and the rooms a gateway. Nothing listens before `listen`. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, env, log, clock = systemClock, onFatal = () => {} } = options;
  const urlOf = (server: string) => `${config.listen.public_url}/mcp/${server}`;
  const closing = createClosing(log);
  try {
    const opened = await openRooms({ config, env, info: INFO, urlOf, onFatal, log, clock, closing });
    return guard(config, opened, { urlOf, log, closing });
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
  const { rooms, catalog, metrics, policies, pins, embedded } = opened;
  const gate = createGate(rooms);
  const { ready, status } = statusOf(config, opened);
  const http = createHttp({
    handle: gate.handle,
    hasServer: (name) => Object.hasOwn(config.servers, name),
    onRefusal: gate.refused,
    publicUrl: config.listen.public_url,
    allowedHosts: config.listen.allowed_hosts,
    allowedOrigins: config.listen.allowed_origins,
    limits: config.limits,
    mounts: mountsOf({ ...opened, config }),
    ready,
    metrics: metrics.text,
    log,
  });

  return {
    app: http.app,
    mcp: http.mcp,
    async listen() {
      const { host, port } = config.listen;
      closing.add(await http.listen(host, port), (listening) => {
        const closed = listening.close(config.limits.drain_ms);
        rooms.streams.close();
        return closed;
      });
      return { url: config.listen.public_url };
    },
    async stdio({ user, ...client }) {
      if (config.local === undefined)
        throw new PortcullisError("internal", { reason: "local is not configured" });
      const identity = createLocalIdentity({
        ...config.local,
        user,
        directory: opened.directory,
        clock: rooms.clock,
      });
      const own = createGate({ ...rooms, identity });
      await serveStdio({ ...client, handle: own.handle, onRefusal: own.refused, limits: config.limits, log });
    },
    urlOf,
    status,
    operator: createOperator({ ...opened, config, decisions: rooms.decisions }),
    async approve(upstream, target, kind) {
      const approved = pins.approve(upstream, target, kind);
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
