import type { Lease, Question, Upstream, UpstreamRequest } from "../domain.ts";
import { type Cut, createCut } from "./cut.ts";
import { createLent } from "./lent.ts";

/** What an upstream is given: by configuration, or for one request. */
export type Given = Pick<Lease, "headers" | "env" | "certificate" | "secrets">;

/**
 * An upstream in whose words the secrets are cut that it was given, for this request, for another one in its session or
 * once and for all: an error page that repeats its request's headers, a tool that prints its environment, or a log
 * message about a request on the stream beside it must not hand them to the agent.
 */
export function discreet(upstream: Upstream, own: readonly Given[]): Upstream {
  const lent = createLent();

  function cutFor({ sessionKey, lease }: Pick<UpstreamRequest, "sessionKey" | "lease">): Cut {
    lent.note(sessionKey, lease);
    return (text) => {
      let cut = lease === undefined ? text : cutOf(lease)(text);
      for (const other of lent.of(sessionKey)) if (other !== lease) cut = cutOf(other)(cut);
      return cutOwn(cut);
    };
  }

  function cutOwn(text: string): string {
    let cut = text;
    for (const given of own) cut = cutOf(given)(cut);
    return cut;
  }

  return {
    ...upstream,
    async identify(signal) {
      const identity = await upstream.identify(signal);
      const text = JSON.stringify(identity);
      const cut = cutOwn(text);
      return cut === text ? identity : JSON.parse(cut);
    },
    async request(request) {
      const cut = cutFor(request);
      const answer = await upstream.request(heardThrough(cut, request));
      const text = cut(answer.text);
      return text === answer.text ? answer : { ...answer, text };
    },
    async listen(request) {
      const cut = cutFor(request);
      const { refused } = await upstream.listen(heardThrough(cut, request));
      return { refused: new Map([...refused].map(([uri, error]) => [uri, cut(error)])) };
    },
    release(sessionKey) {
      lent.release(sessionKey);
      return upstream.release(sessionKey);
    },
  };
}

type Hears = Pick<UpstreamRequest, "onNotification" | "onQuestion">;

function heardThrough<T extends Hears>(cut: Cut, request: T): T {
  const { onNotification, onQuestion } = request;
  const asked = (question: Question) => ({ ...question, params: cut(question.params) });
  return {
    ...request,
    ...(onNotification && {
      onNotification: (method: string, params: string) => onNotification(method, cut(params)),
    }),
    ...(onQuestion && {
      onQuestion: (question: Question, signal: AbortSignal) => onQuestion(asked(question), signal),
    }),
  };
}

const known = new WeakMap<Given, Cut>();

function cutOf(given: Given): Cut {
  const found = known.get(given) ?? createCut(secretsOf(given));
  known.set(given, found);
  return found;
}

function secretsOf({ headers, env, certificate, secrets }: Given): readonly string[] {
  // Where the source says what is secret, the rest of the environment (a user name) may be told.
  const named = secrets ?? env?.values() ?? [];
  return [
    ...[...named, ...(certificate ? [certificate.key] : [])].map((one) => one.reveal()),
    ...[...headers.values()].flatMap((one) => sentIn(one.reveal())),
  ];
}

/** What of a header's value is secret; of a Basic pair (RFC 7617), what it says as well. */
function sentIn(header: string): readonly string[] {
  const [, scheme, sent] = /^(bearer|basic) +(.*)$/i.exec(header) ?? [];
  if (scheme === undefined || sent === undefined) return [header];
  if (scheme.toLowerCase() === "bearer") return [sent];
  const pair = Buffer.from(sent, "base64").toString("utf8");
  return [sent.replace(/=+$/, ""), pair, pair.slice(pair.indexOf(":") + 1)];
}
