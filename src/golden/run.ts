import type { CatalogView } from "../catalog/view.ts";
import { openTenancy } from "../compose/tenancy.ts";
import type { Config } from "../config/config.ts";
import { createCredentials, type SourceConfig } from "../credential/credentials.ts";
import type { Exchange } from "../domain.ts";
import { createCapabilities } from "../gate/capabilities.ts";
import { createGate } from "../gate/gate.ts";
import { createSchemas } from "../gate/schemas.ts";
import { systemClock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { silentLog } from "../lib/log.ts";
import type { PolicyStore } from "../policy/store.ts";
import { DEFAULT_NOW, type GoldenCase } from "./case.ts";
import { compare, type Difference, type GoldenResult } from "./compare.ts";
import { findIdentity } from "./identity.ts";
import { roomsFor, SESSION, type SharedRooms, type Traces } from "./rooms.ts";

export interface GoldenParts {
  readonly config: Config;
  readonly policies: Pick<PolicyStore, "current">;
  readonly views: ReadonlyMap<string, CatalogView>;
}

export interface GoldenRunner {
  /** Where the decision is not what the case wants; none: it passes. */
  run(golden: GoldenCase): Promise<readonly Difference[]>;
  close(): Promise<void>;
}

const CAPABILITIES = 10_000;

/**
 * Runs cases through the real gate: its own message reading, policies in WASM, credentials and records. Only the token
 * is taken for granted, and the upstream is one that keeps what it is sent.
 */
export async function openGolden({ config, policies, views }: GoldenParts): Promise<GoldenRunner> {
  const tenancy = await openTenancy(config);
  const credentials = await createCredentials({
    sources: offline(config),
    tenants: tenancy.credentialsOf,
    publicUrl: config.listen.public_url,
    signingKey: null,
    capacity: CAPABILITIES,
    clock: systemClock,
    log: silentLog,
  });
  const capabilities = createCapabilities(createSchemas(), CAPABILITIES);
  const shared = { config, policies, views, tenancy, credentials, capabilities };

  return {
    async run(golden) {
      try {
        return compare(golden.want, await decide(golden, shared));
      } catch (thrown) {
        const { code, reason } = toPortcullisError(thrown);
        return [{ at: "code", wanted: golden.want.code, got: reason || code }];
      }
    },
    close: () => credentials.close(),
  };
}

/** Who may have which credential is decided as ever; a case fetches none from a server. */
function offline({ credentials }: Config): Readonly<Record<string, SourceConfig>> {
  const sources = Object.entries(credentials).map(([name, source]): [string, SourceConfig] => [
    name,
    source.type === "signed-jwt" ? source : { type: "none", upstreams: source.upstreams },
  ]);
  return Object.fromEntries(sources);
}

async function decide(golden: GoldenCase, shared: SharedRooms): Promise<GoldenResult> {
  const { principal, server, now = DEFAULT_NOW, request } = golden;
  const ms = Date.parse(now);
  const identity = await findIdentity(shared.config, principal, Math.floor(ms / 1000));
  const traces: Traces = { decision: null, outcome: null, refusal: "", forwarded: null };
  let answer = "";
  const exchange = exchangeOf(server, request, (text) => {
    answer = text;
  });
  await createGate(roomsFor(identity, ms, shared, traces)).handle(exchange);
  const { decision, outcome, refusal, forwarded } = traces;
  if (decision === null) throw new PortcullisError("internal", { reason: "nothing was recorded" });
  const status = outcome?.status ?? "";
  return {
    record: JSON.parse(JSON.stringify(decision)) as JsonObject,
    listed: listedIn(answer),
    forwarded,
    outcome: refusal === "" ? status : `${status}: ${refusal}`,
  };
}

function exchangeOf(
  server: string,
  { method, params = {} }: GoldenCase["request"],
  answer: (text: string) => void,
): Exchange {
  return {
    server,
    verb: "POST",
    header: (name) => (name === "mcp-session-id" ? SESSION : undefined),
    clientIp: "",
    body: { jsonrpc: "2.0", id: 1, method, params },
    signal: new AbortController().signal,
    cancel() {},
    outlive() {},
    whenOver: (told) => told(),
    reply: {
      json: (_, text) => answer(text),
      empty: () => answer(""),
      stream: () => ({ send: async (text) => answer(text), end() {}, closed: Promise.resolve() }),
    },
  };
}

function listedIn(answer: string): readonly string[] {
  const message: unknown = answer === "" ? null : JSON.parse(answer);
  const result = isJsonObject(message) && isJsonObject(message.result) ? message.result : {};
  return Object.entries(NAMED_BY).flatMap(([list, member]) => {
    const listed: Json = result[list] ?? [];
    return Array.isArray(listed)
      ? listed.map((one: Json) => (isJsonObject(one) ? String(one[member]) : ""))
      : [];
  });
}

const NAMED_BY = { tools: "name", resources: "uri", resourceTemplates: "uriTemplate", prompts: "name" };
