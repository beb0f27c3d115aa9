import type { Lease } from "../domain.ts";

/** Shorter ones would cut words that merely look alike. */
const SHORTEST = 8;
const CUT = "[withheld]";

/**
 * An upstream's text without the secrets that it was given for this call: an error page that repeats its request's
 * headers, or a tool that prints its environment, must not hand them to the agent.
 */
export function withoutSecrets(text: string, lease: Lease): string {
  let cut = text;
  for (const secret of secretsOf(lease)) if (cut.includes(secret)) cut = cut.replaceAll(secret, CUT);
  return cut;
}

const known = new WeakMap<Lease, readonly string[]>();

function secretsOf(lease: Lease): readonly string[] {
  const found = known.get(lease);
  if (found !== undefined) return found;
  const values = [...lease.headers.values(), ...(lease.env?.values() ?? []), ...(lease.secrets ?? [])];
  const bare = values.map((value) => value.reveal()).map((value) => value.slice(value.lastIndexOf(" ") + 1));
  const spelt = bare.flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]);
  const secrets = [...new Set(spelt)].filter((value) => value.length >= SHORTEST);
  known.set(lease, secrets);
  return secrets;
}
