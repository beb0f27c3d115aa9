import type { Upstream } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { elementsOf, membersOf } from "../lib/members.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
import { type Definition, isRefusal, type Refusal, readDefinition } from "./definition.ts";

export interface DiscoveryLimits {
  readonly pages: number;
  readonly tools: number;
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

/** All pages of `tools/list`. Rejects with `upstream_*`, also when the upstream does not come to an end. */
export async function discoverTools(
  upstream: Upstream,
  limits: DiscoveryLimits,
  signal: AbortSignal,
): Promise<Discovery> {
  const texts: string[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  let cursor: string | undefined;
  for (let page = 0; ; page += 1) {
    if (page === limits.pages) throw tooMuch(`more than ${limits.pages} pages of tools`);
    const result = await listPage(upstream, cursor, limits.pageMs, signal);
    bytes += result.length;
    texts.push(...elementsOf(result.tools));
    if (bytes > limits.bytes) throw tooMuch(`more than ${limits.bytes} bytes of tools`);
    if (texts.length > limits.tools) throw tooMuch(`more than ${limits.tools} tools`);
    cursor = result.nextCursor;
    if (cursor === undefined) return sorted(texts);
    if (seen.has(cursor)) throw tooMuch("a cursor of tools/list repeats");
    seen.add(cursor);
  }
}

async function listPage(
  upstream: Upstream,
  cursor: string | undefined,
  timeoutMs: number,
  signal: AbortSignal,
) {
  const answer = await upstream.request({
    method: "tools/list",
    params: cursor === undefined ? {} : { cursor },
    owner: GATEWAY_OWNER,
    clientInfo: null,
    decisionId: "",
    credential: new Map(),
    signal,
    timeoutMs,
  });
  if (answer.kind === "error") throw tooMuch(`tools/list was answered with ${answer.text.slice(0, 200)}`);
  const members = membersOf(answer.text);
  const nextCursor: unknown = JSON.parse(members.get("nextCursor") ?? "null");
  return {
    tools: members.get("tools") ?? "null",
    length: answer.text.length,
    nextCursor: typeof nextCursor === "string" && nextCursor !== "" ? nextCursor : undefined,
  };
}

function sorted(texts: readonly string[]): Discovery {
  const read = texts.map(readDefinition);
  const definitions = read.filter((one): one is Definition => !isRefusal(one));
  const count = new Map<string, number>();
  for (const { name } of definitions) count.set(name, (count.get(name) ?? 0) + 1);
  const repeated = [...count].filter(([, times]) => times > 1).map(([name]) => name);
  return {
    definitions: definitions.filter(({ name }) => count.get(name) === 1),
    refused: [
      ...read.filter(isRefusal),
      ...repeated.map((name) => ({ name, reason: "the upstream lists it twice" })),
    ],
  };
}

function tooMuch(reason: string): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason });
}
