import { mkdir, rm } from "node:fs/promises";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { gather } from "../lib/gathered.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** What the operator's commands ask of a running gateway, by name. What they resolve with is answered as JSON. */
export type ControlVerbs = Readonly<Record<string, (ask: JsonObject) => Promise<unknown>>>;

export interface Control {
  close(): Promise<void>;
}

const MAX_BYTES = 64 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Longer than any command takes that a gateway works on. */
const PATIENCE_MS = 120_000;

/** sun_path of unix(7), without its end. A longer path would be cut, and be the socket of every path that starts alike. */
const MAX_PATH = process.platform === "linux" ? 107 : 103;

/**
 * Answers the commands of the same machine's operator on a Unix socket: who may open the file may ask. It is no TCP
 * port, so that no page in a browser and no other user can reach it.
 */
export async function openControl(path: string, verbs: ControlVerbs): Promise<Control> {
  checkPath(path);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Nobody can ask what its socket was taken from: not its status, nor to suspend a tenant.
  if (await isAnswered(path))
    throw new PortcullisError("control_unusable", { reason: `another gateway answers at ${path}` });
  await rm(path, { force: true });
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BYTES) chunks.push(chunk);
    });
    request.on("end", () => {
      answer(verbs, request.url ?? "", size > MAX_BYTES ? null : Buffer.concat(chunks).toString())
        .catch((thrown: unknown) => {
          const { code, reason, text } = toPortcullisError(thrown);
          return { error: { code, message: reason || text } };
        })
        .then((result) => response.setHeader("content-type", "application/json").end(JSON.stringify(result)))
        .catch(() => response.destroy());
    });
  });
  await listenAlone(server, path);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The mode is the socket's from the start, so that no one gets in before it is set. */
function listenAlone(server: Server, path: string): Promise<void> {
  const before = process.umask(0o177);
  const listening = new Promise<void>((resolve, reject) =>
    server.once("error", reject).listen(path, resolve),
  );
  process.umask(before);
  return listening;
}

/** null: the body was larger than it may be. */
async function answer(verbs: ControlVerbs, url: string, body: string | null): Promise<object> {
  if (body === null) throw new PortcullisError("body_too_large", { reason: `over ${MAX_BYTES} bytes` });
  const name = url.slice(1);
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb === undefined) throw new PortcullisError("method_unknown", { reason: `there is no "${name}"` });
  const ask = parsed(body);
  if (!isJsonObject(ask)) throw new PortcullisError("params_invalid", { reason: "an object is needed" });
  return { result: await verb(ask) };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/**
 * Asks the running gateway. Rejects with its error; `upstream_unavailable` where none is running, anything else where one
 * is that may have done what it was asked.
 */
export async function askControl(
  path: string,
  verb: string,
  ask: JsonObject,
  patienceMs = PATIENCE_MS,
): Promise<Json> {
  checkPath(path);
  const answer = parsed(await send(path, verb, JSON.stringify(ask), patienceMs));
  if (!isJsonObject(answer))
    throw new PortcullisError("upstream_protocol", { reason: `what answers at ${path} is no gateway` });
  if (isJsonObject(answer.error))
    throw new PortcullisError("params_invalid", { reason: String(answer.error.message) });
  return answer.result ?? null;
}

function checkPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_PATH) return;
  const reason = `state.path is too long for a socket: ${path} has ${bytes} bytes, of at most ${MAX_PATH}`;
  throw new PortcullisError("control_unusable", { reason });
}

/** Whether somebody listens there, or else it is a file that was left behind. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const tell = (answered: boolean) => () => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("connect", tell(true)).once("error", tell(false));
  });
}

function send(path: string, verb: string, body: string, patienceMs: number): Promise<string> {
  const signal = AbortSignal.timeout(patienceMs);
  let isReached = false;
  const failure = (cause: unknown): PortcullisError => {
    if (signal.aborted)
      return new PortcullisError("upstream_timeout", {
        reason: `the gateway at ${path} does not answer`,
        cause,
      });
    return isReached
      ? new PortcullisError("upstream_protocol", { reason: `the gateway at ${path} broke off`, cause })
      : new PortcullisError("upstream_unavailable", { reason: `no gateway is running with ${path}`, cause });
  };
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => reject(failure(cause));
    const call = httpRequest(
      { socketPath: path, path: `/${verb}`, method: "POST", signal, agent: false },
      (response) => {
        whole(response).then(resolve, fail);
      },
    );
    call.on("socket", (socket) =>
      socket.once("connect", () => {
        isReached = true;
      }),
    );
    call.on("error", fail).end(body);
  });
}

async function whole(response: IncomingMessage): Promise<string> {
  const body = await gather(response, MAX_ANSWER_BYTES);
  if (body === undefined) throw new Error("the answer does not end");
  return body.toString();
}
