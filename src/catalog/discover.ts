import { setImmediate } from "node:timers/promises";
import type { Listed, ListedKind, Upstream, UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import { isJsonObject } from "../lib/json.ts";
import { elementsOf, memberOf, membersOf, scalarIn } from "../lib/members.ts";
import { type Definition, isRefusal, type Refusal, readDefinition } from "./definition.ts";
import { KINDS, LISTED_KINDS } from "./kinds.ts";

/** For each kind. */
export interface DiscoveryLimits {
  readonly pages: number;
  readonly targets: number;
  /** A URI is matched against every template. */
  readonly templates: number;
  /** Bytes of all pages together. */
  readonly bytes: number;
  /** Milliseconds for one page. */
  readonly pageMs: number;
}

export interface Discovery {
  /** In the upstream's order. */
  readonly definitions: readonly Definition[];
  readonly refused: readonly Refusal[];
}

/** Of reading definitions, at a time. */
const SLICE_MS = 10;
const METHOD_NOT_FOUND = "-32601";

export const LISTS: readonly Listed[] = ["tools", "resources", "prompts"];

/**
 * All pages of what belongs to one list; nothing where the upstream does not announce or know it. Rejects with
 * `upstream_*`, also when the upstream does not come to an end.
 */
export async function discoverList(
  listed: Listed,
  { upstream, identity }: { readonly upstream: Upstream; readonly identity: UpstreamIdentity },
  limits: DiscoveryLimits,
  signal: AbortSignal,
): Promise<Discovery> {
  if (!isJsonObject(identity.capabilities[listed])) return { definitions: [], refused: [] };
  const kinds = LISTED_KINDS.filter((kind) => KINDS[kind].listed === listed);
  const found: Discovery[] = [];
  for (const kind of kinds) {
    const most = kind === "template" ? limits.templates : limits.targets;
    const texts = await allPages(kind, upstream, { ...limits, targets: most }, signal);
    found.push(unrepeated(kind, await readAll(kind, texts)));
  }
  return together(found);
}

export function together(found: readonly Discovery[]): Discovery {
  return {
    definitions: found.flatMap(({ definitions }) => definitions),
    refused: found.flatMap(({ refused }) => refused),
  };
}

async function allPages(
  kind: ListedKind,
  upstream: Upstream,
  limits: DiscoveryLimits,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { method, list } = KINDS[kind];
  const texts: string[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  let cursor: string | undefined;
  for (let page = 0; ; page += 1) {
    if (page === limits.pages) throw unusable(`more than ${limits.pages} pages of ${list}`);
    const result = await listPage(kind, upstream, cursor, limits.pageMs, signal);
    if (result === null) return [];
    bytes += result.bytes;
    if (bytes > limits.bytes) throw unusable(`more than ${limits.bytes} bytes of ${list}`);
    const listed = elementsOf(result.definitions);
    if (texts.length + listed.length > limits.targets) throw unusable(`more than ${limits.targets} ${list}`);
    texts.push(...listed);
    cursor = result.nextCursor;
    if (cursor === undefined) return texts;
    if (seen.has(cursor)) throw unusable(`a cursor of ${method} repeats`);
    seen.add(cursor);
  }
}

/** null: the upstream does not know this list. */
async function listPage(
  kind: ListedKind,
  upstream: Upstream,
  cursor: string | undefined,
  timeoutMs: number,
  signal: AbortSignal,
) {
  const { method, list } = KINDS[kind];
  const answer = await upstream.request({
    method,
    params: cursor === undefined ? {} : { cursor },
    sessionKey: GATEWAY_SESSION,
    clientInfo: null,
    decisionId: "",
    credential: new Map(),
    signal,
    timeoutMs,
  });
  if (answer.kind === "error") {
    if (cursor === undefined && memberOf(answer.text, "code") === METHOD_NOT_FOUND) return null;
    throw unusable(`${method} was answered with ${answer.text.slice(0, 200)}`);
  }
  const members = membersOf(answer.text);
  const nextCursor = scalarIn(members.get("nextCursor"));
  return {
    definitions: members.get(list) ?? "null",
    bytes: Buffer.byteLength(answer.text),
    nextCursor: typeof nextCursor === "string" && nextCursor !== "" ? nextCursor : undefined,
  };
}

/** With everything else in between: a list may be as large as its upstream likes, within limits that take a second. */
async function readAll(
  kind: ListedKind,
  texts: readonly string[],
): Promise<readonly (Definition | Refusal)[]> {
  const read: (Definition | Refusal)[] = [];
  let began = performance.now();
  for (const text of texts) {
    read.push(readDefinition(kind, text));
    if (performance.now() - began < SLICE_MS) continue;
    await setImmediate();
    began = performance.now();
  }
  return read;
}

function unrepeated(kind: ListedKind, found: readonly (Definition | Refusal)[]): Discovery {
  const definitions = found.filter((one): one is Definition => !isRefusal(one));
  const count = new Map<string, number>();
  for (const { name } of definitions) count.set(name, (count.get(name) ?? 0) + 1);
  const repeated = [...count].filter(([, times]) => times > 1).map(([name]) => name);
  return {
    definitions: definitions.filter(({ name }) => count.get(name) === 1),
    refused: [
      ...found.filter(isRefusal),
      ...repeated.map((name) => ({ kind, name, reason: "the upstream lists it twice" })),
    ],
  };
}

function unusable(reason: string): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason });
}
