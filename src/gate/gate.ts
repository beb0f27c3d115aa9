import type { Exchange, Identity, Refusal } from "../domain.ts";
import { bearerOf } from "../lib/bearer.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import { errorText } from "../lib/rpc.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import { httpStatus } from "../protocol/answers.ts";
import {
  type Message,
  type NotificationMessage,
  type RequestMessage,
  readMessage,
} from "../protocol/messages.ts";
import type { RequestMethod } from "../protocol/methods.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import { createAnswer } from "./answer.ts";
import type { Ask, Seen } from "./ask.ts";
import { call } from "./call.ts";
import { complete } from "./complete.ts";
import { get } from "./get.ts";
import { canBeAsked } from "./interaction.ts";
import { list } from "./list.ts";
import { listen } from "./listen.ts";
import { createLoad, type Load, type Slot } from "./load.ts";
import { principalKeyOf, sessionKeyOf, whoOf } from "./principal.ts";
import { read } from "./read.ts";
import { recordUnasked } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import { discover, initialize, ping } from "./session.ts";
import { openStream } from "./stream.ts";
import { setLevel, subscribe, unsubscribe } from "./subscribe.ts";
import { listTasks, task } from "./tasks.ts";

/** Which verb answers a request. What the protocol's table does not have was refused before. */
const VERBS: Readonly<Record<RequestMethod, (ask: Ask, rooms: Rooms) => Promise<unknown>>> = {
  initialize,
  ping,
  "server/discover": discover,
  "tools/list": list("tool"),
  "tools/call": call,
  "resources/list": list("resource"),
  "resources/templates/list": list("template"),
  "resources/read": read,
  "resources/subscribe": subscribe,
  "resources/unsubscribe": unsubscribe,
  "prompts/list": list("prompt"),
  "prompts/get": get,
  "completion/complete": complete,
  "logging/setLevel": setLevel,
  "subscriptions/listen": listen,
  "tasks/get": task,
  "tasks/result": task,
  "tasks/update": task,
  "tasks/cancel": task,
  "tasks/list": listTasks,
};

export interface Gate {
  /** Answers an exchange. Every refusal is on disk before it is answered. */
  handle(exchange: Exchange): Promise<void>;
  /** Records a refusal of the edge. */
  refused(refusal: Refusal): Promise<void>;
}

export function createGate(rooms: Rooms): Gate {
  const load = createLoad(rooms.limits);

  async function handle(exchange: Exchange): Promise<void> {
    const seen: Seen = seenAt(rooms, exchange);
    const slot: Slot = { isIn: false, who: null };
    try {
      load.enter(slot);
      await answer(exchange, seen, rooms, { slot, load });
    } catch (thrown) {
      await refuse(exchange, seen, toPortcullisError(thrown), rooms);
    } finally {
      const leave = () => load.leave(slot);
      // A client that takes its answer slowly, or not at all, keeps it here: that is of its share. Nobody has none, so that
      // all places could be theirs who take no refusal.
      if (slot.who === null) leave();
      else exchange.whenOver(leave);
    }
  }

  return {
    handle,
    refused({ server, code, clientIp, reason }) {
      return recordUnasked(rooms, seenAt(rooms, { server, clientIp, header: () => undefined }), code, reason);
    },
  };
}

async function answer(
  exchange: Exchange,
  seen: Seen,
  rooms: Rooms,
  { slot, load }: { readonly slot: Slot; readonly load: Load },
): Promise<void> {
  if (exchange.verb === "POST") seen.message = readMessage(exchange);
  // Whatever is wrong with the message: who has no token learns that alone.
  const identity = await rooms.identity.authenticate(
    bearerOf(exchange.header("authorization")),
    exchange.server,
  );
  seen.identity = identity;
  const { principal } = identity;
  rooms.admission.check(principal);
  load.admit(slot, whoOf(identity));
  if (!rooms.mayUse(principal.tenant, exchange.server)) {
    throw new PortcullisError("tenant_unknown", { reason: "this tenant is not given this virtual server" });
  }
  const stop = rooms.admission.onEnd(principal, () => exchange.cancel());
  try {
    await enter(exchange, { seen, identity, rest: () => load.leave(slot) }, rooms);
  } finally {
    stop();
  }
}

interface Entering {
  readonly seen: Seen;
  readonly identity: Identity;
  readonly rest: Ask["rest"];
}

async function enter(exchange: Exchange, entering: Entering, rooms: Rooms): Promise<void> {
  const { seen, identity, rest } = entering;
  const { message } = seen;
  if (message?.kind === "refused") throw message.error;
  if (exchange.verb === "DELETE") return endSession(exchange, identity, rooms);
  const session = await sessionOf(exchange, message, identity, rooms);
  if (message?.kind === "request") return serve(exchange, { seen, identity, rest, message, session }, rooms);
  if (session === null) throw new PortcullisError("request_invalid", { reason: "nothing was asked" });
  if (message === undefined) return openStream({ exchange, seen, identity, session, rest }, rooms);
  if (message.kind === "response") await rooms.questions.answer(session.id, message.id, message.answer);
  else take(message, session, rooms);
  exchange.reply.empty(202);
}

interface Entered extends Entering {
  readonly message: RequestMessage;
  readonly session: ClientSession | null;
}

async function serve(exchange: Exchange, entered: Entered, rooms: Rooms): Promise<void> {
  const { message, identity, session } = entered;
  const policy = rooms.policies.current(identity.principal.tenant);
  entered.seen.revision = policy.revision;
  session?.requests.begin(message.id, () => exchange.cancel());
  try {
    await VERBS[message.method](askOf(exchange, entered, policy, rooms), rooms);
  } finally {
    session?.requests.end(message.id);
  }
}

function askOf(exchange: Exchange, entered: Entered, policy: PolicyEngine, rooms: Rooms): Ask {
  const { seen, message, identity, session, rest } = entered;
  const { principal, tenant } = identity;
  const principalKey = principalKeyOf(identity);
  const clientCapabilities = message.clientCapabilities ?? session?.clientCapabilities ?? null;
  return {
    seen,
    message,
    identity,
    policy,
    context: { principal, tenant, server: exchange.server, now: seen.now },
    session,
    principalKey,
    who: whoOf(identity),
    sessionKey: session === null ? standingKey(principalKey, clientCapabilities) : sessionKeyOf(session.id),
    clientInfo: message.clientInfo ?? session?.clientInfo ?? null,
    clientCapabilities,
    logLevel: message.logLevel ?? session?.logLevel ?? undefined,
    header: (name) => exchange.header(name),
    isLocal: exchange.isLocal === true,
    signal: exchange.signal,
    rest,
    answer: createAnswer(
      exchange.reply,
      message.era,
      message.id,
      session && rooms.outboxes.open(session.id, message.id, exchange),
    ),
  };
}

/** Sessions that the gateway holds for a client without one: clients that can be asked other things share none. */
function standingKey(principalKey: string, capabilities: JsonObject | null): string {
  return canBeAsked(capabilities) ? `${principalKey} ${digest(capabilities)}` : principalKey;
}

/** The legacy session of a message, which must be this principal's own; null where the era or method has none. */
async function sessionOf(
  exchange: Exchange,
  message: Exclude<Message, { kind: "refused" }> | undefined,
  identity: Identity,
  rooms: Rooms,
): Promise<ClientSession | null> {
  if (message?.era === "modern" || message?.method === "initialize") return null;
  const id = exchange.header("mcp-session-id");
  if (id === undefined) throw new PortcullisError("session_required");
  const session = await rooms.sessions.get(id, principalKeyOf(identity), exchange.server);
  if (session === undefined) throw new PortcullisError("session_unknown");
  return session;
}

function take({ method, params }: NotificationMessage, session: ClientSession, rooms: Rooms): void {
  const { requestId } = params;
  if (method === "notifications/roots/list_changed")
    for (const upstream of rooms.upstreams.values()) void upstream.rootsChanged(sessionKeyOf(session.id));
  if (method !== "notifications/cancelled") return;
  if (typeof requestId === "string" || typeof requestId === "number")
    rooms.sessions.cancel(session, requestId);
}

async function endSession(exchange: Exchange, identity: Identity, rooms: Rooms): Promise<void> {
  const id = exchange.header("mcp-session-id");
  if (id === undefined) throw new PortcullisError("session_required");
  const ended = await rooms.sessions.delete(id, principalKeyOf(identity), exchange.server);
  if (!ended) throw new PortcullisError("session_unknown");
  exchange.reply.empty(204);
}

/** Record, then answer. What anybody can cause without a token is counted, so that nobody fills the disk. */
async function refuse(exchange: Exchange, seen: Seen, error: PortcullisError, rooms: Rooms): Promise<void> {
  if (error.code === "internal") rooms.log.error({ err: error }, "a request failed");
  const told = await recordRefusal(seen, error, rooms);
  const { message } = seen;
  const id = message !== undefined && "id" in message ? message.id : null;
  // 404 would tell a client that its session is over, and what is no notification of today may be one of tomorrow.
  if (id === null && told.code === "method_unknown") return exchange.reply.empty(202);
  // Without an id there is no answer that a 200 could bring.
  const status = id === null ? told.row.http : httpStatus(told, message?.era ?? "");
  exchange.reply.json(status, errorText(id, told), told.headers);
}

async function recordRefusal(seen: Seen, error: PortcullisError, rooms: Rooms): Promise<PortcullisError> {
  // The log itself refused: there is nowhere to record that.
  if (error.code === "audit_unavailable") return error;
  try {
    await recordUnasked(rooms, seen, error.code, error.reason);
    return error;
  } catch (thrown) {
    return toPortcullisError(thrown);
  }
}

function seenAt(rooms: Rooms, exchange: Pick<Exchange, "server" | "clientIp" | "header">): Seen {
  return {
    server: exchange.server,
    clientIp: exchange.clientIp,
    now: Math.floor(rooms.clock() / 1000),
    traceId: /^[\da-f]{2}-([\da-f]{32})-/.exec(exchange.header("traceparent") ?? "")?.[1] ?? "",
  };
}
