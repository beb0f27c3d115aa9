import type { IncomingMessage, ServerResponse } from "node:http";
import type { Identity, Principal } from "../domain.ts";
import { bearerOf } from "../lib/bearer.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { errorText } from "../lib/rpc.ts";
import type { Secret } from "../lib/secret.ts";
import { createRunRecorder, type RunMethod, type RunRecords, recordedRun, type Seen } from "./records.ts";
import { MAX_SERVERS, type RunRequest, readRunRequest } from "./request.ts";
import type { Run, Runs } from "./runs.ts";

/** The path, and what the identity stage knows this place by. No virtual server has such a name. */
export const RUNS = "/runs";

/** What every route of the gateway does with a request's bytes. */
export interface Edge {
  /** Head: single headers, framing, Host, Origin, query. Throws as the guarded URLs do. */
  check(request: IncomingMessage): void;
  /** The strictly parsed body, of at most `bytes`. */
  json(request: IncomingMessage, limits: { readonly bytes: number; readonly depth: number }): Promise<Json>;
  clientIp(request: IncomingMessage): string;
  reply(
    response: ServerResponse,
    status: number,
    text: string,
    headers?: Readonly<Record<string, string>>,
  ): void;
}

/** Whose own token it is, and for which of these servers. A run's token is refused. */
export interface Authenticates {
  authenticateOwn(
    bearer: Secret | undefined,
    servers: readonly string[],
  ): Promise<{
    readonly identity: Identity;
    readonly claimed: Principal;
    readonly servers: readonly string[];
  }>;
}

export interface RunRouteOptions {
  readonly runs: Runs;
  readonly identity: Authenticates;
  readonly edge: Edge;
  readonly records: RunRecords;
  /** All virtual servers, each with the scopes that its tokens need. */
  readonly servers: ReadonlyMap<string, readonly string[]>;
  /** Throws where this principal is not served at all. */
  admit(principal: Principal): void;
  mayUse(tenant: string, server: string): boolean;
  /** Roles that list and end all runs of their own tenant. */
  readonly admins: readonly string[];
  /** Seconds. */
  readonly maxTtl: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly seen: Seen;
  /** From the path; "" for all of them. */
  readonly id: string;
  readonly query: string;
  readonly identity: Identity;
  readonly claimed: Principal;
  /** The virtual servers that this token is good for. */
  readonly servers: readonly string[];
}

const PATH = /^\/runs(?:\/([A-Za-z0-9_-]{1,64}))?(?:\?(.*))?$/;
const LIMITS = { bytes: 16 << 10, depth: 8 } as const;
/** Of one answer: the newest. */
const LISTED = 1000;

/** `/runs`: plain handlers for Node's own server. Every refusal is on disk before it is answered. */
export function createRunRoute(options: RunRouteOptions): {
  /** false: the request is for someone else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
} {
  const { runs, edge, log } = options;
  const recorder = createRunRecorder(options.records);

  async function create({ request, response, seen, identity, claimed, servers: good }: Asked): Promise<void> {
    const body = readRunRequest(await edge.json(request, LIMITS), { max_ttl: options.maxTtl });
    const servers = chosen(body, good);
    // The body may have been long in coming.
    options.admit(identity.principal);
    const { expires } = identity;
    const { run, token } = await runs.begin({ claimed, expires, servers }, body, (begun) =>
      recorder.allowed(seen, recordedRun(begun)),
    );
    edge.reply(response, 201, JSON.stringify({ ...told(run), token: token.reveal() }));
  }

  async function list({ response, seen, query, identity: { principal } }: Asked): Promise<void> {
    const all = query === "of=tenant";
    if (query !== "" && !all)
      throw new PortcullisError("params_invalid", { text: "The query is of=tenant, or none." });
    if (all && !isAdmin(principal))
      throw new PortcullisError("run_refused", { reason: "not an admin of runs" });
    if (all) await recorder.allowed(seen, { of: "tenant" });
    const found = await (all ? runs.inTenant(principal.tenant) : runs.of(principal));
    const newest = found.slice(-LISTED).map((run) => (all ? { ...told(run), user: userOf(run) } : told(run)));
    edge.reply(response, 200, JSON.stringify({ runs: newest, more: found.length - newest.length }));
  }

  /** Another tenant's run, and another user's for who is no admin, is as unknown as none. */
  async function end({ response, seen, id, identity: { principal } }: Asked): Promise<void> {
    const run = await runs.find(id);
    if (run === undefined) throw unknown("no such run");
    if (run.principal.tenant !== principal.tenant) throw unknown(`run ${id} is another tenant's`);
    if (!isOf(run, principal) && !isAdmin(principal)) throw unknown(`run ${id} is another user's`);
    await recorder.allowed(seen, recordedRun(run));
    if (!(await runs.end(run))) throw unknown(`run ${id} has just ended`);
    response.writeHead(204, { "Cache-Control": "no-store" }).end();
  }

  function isAdmin({ roles }: Principal): boolean {
    return options.admins.some((role) => roles.includes(role));
  }

  /** Never wider than the token: what is not good for it cannot be chosen, and what was not chosen is all it is good for. */
  function chosen(body: RunRequest, good: readonly string[]): readonly string[] {
    const servers = body.servers ?? good;
    if (servers.length > MAX_SERVERS)
      throw new PortcullisError("params_invalid", { text: `Choose servers: up to ${MAX_SERVERS}.` });
    const beyond = servers.find((server) => !good.includes(server));
    if (beyond === undefined && servers.length > 0) return servers;
    throw new PortcullisError("run_refused", {
      text: "A run reaches only virtual servers that your own token is good for.",
      reason: beyond === undefined ? "good for none" : `not good for ${JSON.stringify(beyond)}`,
    });
  }

  /** A token for the guarded URLs reaches those; one for `/runs` itself all that its tenant is given. */
  function goodFor({ principal }: Identity, named: readonly string[]): readonly string[] {
    const everywhere = named.includes(RUNS);
    return [...options.servers]
      .filter(([server]) => everywhere || named.includes(server))
      .filter(([server]) => options.mayUse(principal.tenant, server))
      .filter(([, scopes]) => scopes.every((scope) => principal.scopes.includes(scope)))
      .map(([server]) => server);
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    seen: Seen,
    path: RegExpExecArray,
  ) {
    edge.check(request);
    const { method } = seen;
    if (method === "") throw new PortcullisError("method_not_allowed", allowed(path[1] !== undefined));
    const bearer = bearerOf(request.headers.authorization);
    const all = [RUNS, ...options.servers.keys()];
    const { identity, claimed, servers } = await options.identity.authenticateOwn(bearer, all);
    seen.identity = identity;
    options.admit(identity.principal);
    const [, id = "", query = ""] = path;
    await VERBS[method]({
      ...{ request, response, seen, id, query, identity, claimed },
      servers: goodFor(identity, servers),
    });
  }
  const VERBS: Readonly<Record<RunMethod, (asked: Asked) => Promise<void>>> = {
    "runs/create": create,
    "runs/list": list,
    "runs/delete": end,
  };

  async function refuse(request: IncomingMessage, response: ServerResponse, seen: Seen, thrown: unknown) {
    const error = toPortcullisError(thrown);
    if (error.code === "internal") log.error({ err: error }, "a request about runs failed");
    const refusal = await recorded(seen, error);
    // A body that nobody wants would be taken for the next request.
    const close = request.complete ? {} : { Connection: "close" };
    edge.reply(response, refusal.row.http, errorText(null, refusal), { ...refusal.headers, ...close });
    request.resume();
  }

  async function recorded(seen: Seen, error: PortcullisError): Promise<PortcullisError> {
    if (error.code === "audit_unavailable") return error;
    try {
      await recorder.refused(seen, error);
      return error;
    } catch (thrown) {
      return toPortcullisError(thrown);
    }
  }

  return {
    handle(request, response) {
      const path = PATH.exec(request.url ?? "");
      if (path === null) return false;
      const seen: Seen = {
        method: methodOf(request.method, path[1] !== undefined),
        clientIp: edge.clientIp(request),
        now: options.clock(),
      };
      answer(request, response, seen, path)
        .catch((thrown: unknown) => refuse(request, response, seen, thrown))
        .catch((err: unknown) => {
          log.error({ err }, "an answer about runs could not be sent");
          response.destroy();
        });
      return true;
    },
  };
}

function methodOf(verb: string | undefined, one: boolean): RunMethod | "" {
  if (one) return verb === "DELETE" ? "runs/delete" : "";
  if (verb === "POST") return "runs/create";
  return verb === "GET" ? "runs/list" : "";
}

function allowed(one: boolean) {
  return one
    ? { text: "Use DELETE to end this run.", headers: { Allow: "DELETE" } }
    : { text: "Use POST to begin a run, GET to list them.", headers: { Allow: "POST, GET" } };
}

function isOf({ principal }: Run, { issuer, subject, tenant }: Principal): boolean {
  return principal.issuer === issuer && principal.subject === subject && principal.tenant === tenant;
}

/** What a caller is told of a run. */
function told({ principal, targets, ...run }: Run): JsonObject {
  return { ...run, client: principal.client, targets: targets?.map((choice) => ({ ...choice })) ?? null };
}

function userOf({ principal: { issuer, subject } }: Run): JsonObject {
  return { issuer, subject };
}

function unknown(reason: string): PortcullisError {
  return new PortcullisError("run_unknown", { reason });
}
