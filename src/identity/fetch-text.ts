import { gather } from "../lib/gathered.ts";

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 256 * 1024;

/** GETs a small text. A redirect, another status than 200, too much or too slow: throws. */
export async function fetchText(
  fetch: typeof globalThis.fetch,
  url: URL,
  signal: AbortSignal,
): Promise<string> {
  const response = await fetch(url, {
    redirect: "error",
    headers: { accept: "application/jwk-set+json, application/json" },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`status ${response.status}`);
  }
  const body = await gather(response.body, MAX_BYTES);
  if (body === undefined) throw new Error(`more than ${MAX_BYTES} bytes`);
  return new TextDecoder("utf-8", { fatal: true }).decode(body);
}
