import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import { audienceOf, openRuns, runsMount } from "../../src/compose/runs.ts";
import { parseConfig } from "../../src/config/config.ts";
import type { DecisionEntry, Principal, SharedStore } from "../../src/domain.ts";
import { createIdentity } from "../../src/identity/identity.ts";
import { isJsonObject, type Json, type JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { createDirectory } from "../identity/directory.ts";
import { audience, EPOCH, good, handClock, type Issuer, startIssuer } from "../identity/issuer.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Closed after the test, in reverse. */
export function closing<Part>(part: Part, close: (part: Part) => unknown): Part {
  closers.push(() => close(part));
  return part;
}

export const RUNS_URL = "https://gate.example/runs";

const CONFIG = {
  listen: { host: "127.0.0.1", port: 0, public_url: "https://gate.example" },
  issuers: [
    { issuer: "https://idp.example", jwks_uri: "https://idp.example/jwks", tenant: { claim: "tenant" } },
  ],
  upstreams: { crm: { url: "https://crm.example/mcp" }, files: { url: "https://files.example/mcp" } },
  servers: {
    support: { upstreams: ["crm"], scopes: ["mcp"] },
    files: { upstreams: ["files"] },
    secret: { upstreams: ["crm"] },
  },
  policies: { path: "./policies" },
  tenants: { acme: { record: {}, servers: ["support", "files"] } },
};

export interface WorldOptions {
  readonly store?: SharedStore;
  readonly issuer?: Issuer;
  readonly clock?: ReturnType<typeof handClock>;
  readonly key?: Buffer;
  /** Of the configuration's section. */
  readonly section?: JsonObject;
  readonly sweepMs?: number;
  /** So many virtual servers more, for everybody. */
  readonly more?: number;
  /** Runs begun before are over; milliseconds since the epoch. */
  readonly overBefore?: (tenant: string) => number;
  /** Throws where this principal is not served at all. */
  readonly admit?: (principal: Principal) => void;
  /** Credential sources and the connected accounts that they take their tokens from. */
  readonly accounts?: Readonly<Record<string, string>>;
  /** Issuers that are configured; default: the issuer. */
  readonly issuers?: readonly string[];
}

export type Replica = Awaited<ReturnType<typeof aReplica>>;

/** One replica of a gateway: the real stage, seal, signing and routes on a real socket. */
export async function aReplica(options: WorldOptions = {}) {
  const issuer = options.issuer ?? closing(await startIssuer(), (one) => one.close());
  const { clock = handClock(), key = randomBytes(32) } = options;
  const more = Array.from({ length: options.more ?? 0 }, (_, at) => `more-${at}`);
  const servers = {
    ...CONFIG.servers,
    ...Object.fromEntries(more.map((name) => [name, { upstreams: ["crm"] }])),
  };
  const store = options.store ?? closing(createMemoryStore({ clock }), (one) => one.close());
  const parsed = parseConfig(
    JSON.stringify({ ...CONFIG, servers, runs: { admins: ["auditor"], ...options.section } }),
    "/portcullis.yaml",
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const connected = Object.entries(options.accounts ?? {}).map(([source, account]) => [
    source,
    { type: "connected-account", account },
  ]);
  const config = { ...parsed.config, credentials: Object.fromEntries(connected) };
  const log = silentLog;
  const { sweepMs = 5000, overBefore = () => 0 } = options;
  const parts = {
    config,
    urlOf: audience,
    store,
    seal: createSeal(key),
    key,
    overBefore,
    sweepMs,
    clock,
    log,
  };
  const runs = closing(await openRuns(parts), (one) => one?.close());
  if (runs === null) throw new Error("no runs");

  const directory = createDirectory({
    tenants: new Map([
      ["acme", {}],
      ["globex", {}],
    ]),
  });
  const known = options.issuers ?? [issuer.issuer];
  const identity = createIdentity({
    issuers: known.map((name) => ({
      issuer: name,
      jwks_uri: issuer.jwks_uri,
      algorithms: ["ES256"],
      tenant: { claim: "tenant" },
      claims: { roles: "roles", attributes: { team: "team" } },
    })),
    audience: audienceOf(config, audience),
    scopes: (server) => config.servers[server]?.scopes ?? [],
    directory,
    clock,
    fetch,
    log,
    runs,
  });
  closing(identity, (one) => one.close());

  const decisions: DecisionEntry[] = [];
  const counted: DecisionEntry[] = [];
  const { handler } = runsMount({
    config,
    runs,
    identity,
    records: {
      decision: async (entry) => void decisions.push(entry),
      refused: async (entry) => void counted.push(entry),
    },
    admit: options.admit ?? (() => {}),
    mayUse: (tenant, server) =>
      server === "support" || more.includes(server) || (server === "files" && tenant === "acme"),
    clock,
    log,
  });
  const server = createServer((request, response) => {
    void handler(request, response, () => response.writeHead(404).end());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing(server, async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function ask(method: string, path: string, token?: string, body?: string, headers = {}) {
    const response = await fetch(origin + path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    const json: Json = text === "" ? null : JSON.parse(text);
    return { status: response.status, json, code: codeOf(json), headers: response.headers };
  }

  return {
    origin,
    issuer,
    clock,
    key,
    store,
    runs,
    identity,
    directory,
    decisions,
    counted,
    ask,
    post: (token: string | undefined, body: Json) => ask("POST", "/runs", token, JSON.stringify(body)),
    /** Begins a run that must be allowed. */
    async begin(token: string, body: Json = {}) {
      const { status, json } = await ask("POST", "/runs", token, JSON.stringify(body));
      if (status !== 201 || !isJsonObject(json)) throw new Error(`${status} ${JSON.stringify(json)}`);
      return json as { readonly id: string; readonly token: string; readonly expires: number } & JsonObject;
    },
    list: async (token: string, query = "") => {
      const { json } = await ask("GET", `/runs${query}`, token);
      return (isJsonObject(json) && Array.isArray(json.runs) ? json.runs : []) as readonly JsonObject[];
    },
    end: (token: string, id: string) => ask("DELETE", `/runs/${id}`, token),
    who: (token: string, name = "support") => identity.authenticate(new Secret(token), name),
    /** The code of the refusal, or "in". */
    outcome: (token: string, name = "support"): Promise<string> =>
      identity.authenticate(new Secret(token), name).then(
        () => "in",
        (error: { code?: string }) => error.code ?? `foreign: ${error}`,
      ),
  };
}

function codeOf(json: Json): string {
  const error = isJsonObject(json) ? json.error : undefined;
  const data = isJsonObject(error) ? error.data : undefined;
  return isJsonObject(data) ? String(data.code) : "";
}

/** A user's own token, for `/runs` unless it says otherwise. */
export function own(issuer: Issuer, changes: Record<string, unknown> = {}): Promise<string> {
  return issuer.sign(good(issuer, { aud: RUNS_URL, client_id: "agent", ...changes }));
}

export { audience, EPOCH, handClock, startIssuer };
