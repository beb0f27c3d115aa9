import type { Lease, UpstreamReply, UpstreamRequest } from "../domain.ts";
import type { Cancellable } from "../lib/cancellation.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { paramHeaders } from "../lib/param-headers.ts";
import type { Ask } from "./ask.ts";
import type { Conversation } from "./conversation.ts";
import { heard } from "./hear.ts";
import { askClient, canBeAsked, mayAsk, permit } from "./interaction.ts";
import type { Rooms } from "./rooms.ts";
import type { Allowed } from "./wanted.ts";

type AskClient = NonNullable<UpstreamRequest["onQuestion"]>;

/** How a request goes to its upstream. */
export interface Way {
  readonly signal: Cancellable;
  /** null: the client is asked, if at all, on the stream of its own request. */
  readonly conversation: Pick<Conversation, "ask" | "notify"> | null;
  readonly lease: Lease;
}

/** One request to the upstream, with nothing in what comes back that its client may not have. */
export async function send(
  ask: Ask,
  rooms: Rooms,
  allowed: Allowed,
  params: JsonObject,
  way: Way,
): Promise<UpstreamReply> {
  const { id, target, arguments: args } = allowed;
  const { method, progressToken } = ask.message;
  const { signal, lease } = way;
  const traceparent = ask.header("traceparent");
  const onQuestion = questionsTo(ask, rooms, allowed, way);
  const sent = upstreamOf(rooms, target.upstream).request({
    method,
    params,
    sessionKey: ask.sessionKey,
    clientInfo: ask.clientInfo,
    clientCapabilities: ask.clientCapabilities,
    decisionId: id,
    credential: lease.headers,
    lease,
    who: ask.who,
    signal,
    timeoutMs: rooms.timeoutOf(target.upstream),
    isAskable: mayAsk(ask, allowed.grant),
    logLevel: ask.logLevel,
    traceparent: traceparent !== undefined && TRACE.test(traceparent) ? traceparent : undefined,
    progressToken,
    paramHeaders: target.paramHeaders?.length ? paramHeaders(target.paramHeaders, args) : undefined,
    onNotification: (kind, text) => passOn(ask, rooms, target.upstream, way, [kind, text]),
    onQuestion,
  });
  return heardAside(ask, rooms, target.upstream, onQuestion, sent);
}

/** W3C Trace Context, section 3.2. */
const TRACE = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;

/** Other replicas may hear what the upstream asks beside this call. */
function heardAside(
  { session, clientCapabilities, sessionKey }: Ask,
  { asides }: Pick<Rooms, "asides">,
  upstream: string,
  onQuestion: AskClient,
  sent: Promise<UpstreamReply>,
): Promise<UpstreamReply> {
  if (asides === null || session === null || !canBeAsked(clientCapabilities)) return sent;
  return sent.finally(asides.join({ sessionKey, upstream }, onQuestion));
}

function passOn(
  ask: Ask,
  rooms: Rooms,
  upstream: string,
  { conversation }: Way,
  [method, params]: readonly [string, string],
): void {
  const { era } = ask.message;
  const view = rooms.catalog.view(ask.seen.server);
  let passed: string | undefined;
  try {
    passed = heard({ deciding: ask, view, upstream, era, logLevel: ask.logLevel }, rooms, method, params);
  } catch {
    // What cannot be read cannot be judged.
  }
  if (passed === undefined)
    rooms.log.debug({ upstream, method: method.slice(0, 64) }, "dropped a notification");
  else (conversation ?? ask.answer).notify(method, passed);
}

/** How a legacy upstream's questions reach the client: each is decided and recorded first. */
function questionsTo(ask: Ask, rooms: Rooms, allowed: Allowed, { conversation }: Way): AskClient {
  return async (question, signal) => {
    if (ask.message.era === "legacy") return askClient(ask, rooms, allowed, question, signal);
    await permit(ask, rooms, allowed, question);
    if (conversation === null) throw new PortcullisError("interaction_refused");
    return conversation.ask(question, signal);
  };
}

function upstreamOf(rooms: Pick<Rooms, "upstreams">, name: string) {
  const found = rooms.upstreams.get(name);
  if (found === undefined)
    throw new PortcullisError("upstream_unavailable", { reason: `no upstream ${name}` });
  return found;
}
