import type { Lease, Question } from "../domain.ts";

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

/** The same for what it asks of a client. */
export function askedWithoutSecrets(question: Question, lease: Lease): Question {
  return { ...question, params: withoutSecrets(question.params, lease) };
}

/** Without the scheme's name. */
function bare(header: string): string {
  return header.slice(header.lastIndexOf(" ") + 1);
}

const known = new WeakMap<Lease, readonly string[]>();

function secretsOf(lease: Lease): readonly string[] {
  const found = known.get(lease);
  if (found !== undefined) return found;
  // Where the source says what is secret, the rest of the environment (a user name) may be told.
  const named = [...(lease.secrets ?? lease.env?.values() ?? [])].map((value) => value.reveal());
  const sent = [...lease.headers.values()].map((value) => bare(value.reveal()));
  const spelt = [...named, ...sent].flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]);
  const secrets = [...new Set(spelt)].filter((value) => value.length >= SHORTEST);
  known.set(lease, secrets);
  return secrets;
}
