import { mkdir, rm } from "node:fs/promises";
import { createServer, request as httpRequest, type Server } from "node:http";
import { dirname } from "node:path";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** What the operator's commands ask of a running gateway, by name. */
export type ControlVerbs = Readonly<Record<string, (ask: JsonObject) => Promise<Json>>>;

export interface Control {
  close(): Promise<void>;
}

const MAX_BYTES = 64 * 1024;

/**
 * Answers the commands of the same machine's operator on a Unix socket: who may open the file may ask. It is no TCP
 * port, so that no page in a browser and no other user can reach it.
 */
export async function openControl(path: string, verbs: ControlVerbs): Promise<Control> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
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
async function answer(verbs: ControlVerbs, url: string, body: string | null): Promise<JsonObject> {
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

/** Asks the running gateway. Rejects with its error, or `upstream_unavailable` where none is running. */
export async function askControl(path: string, verb: string, ask: JsonObject): Promise<Json> {
  const text = await send(path, verb, JSON.stringify(ask));
  const answer: unknown = JSON.parse(text);
  if (!isJsonObject(answer))
    throw new PortcullisError("upstream_protocol", { reason: "the gateway gave no answer" });
  if (isJsonObject(answer.error))
    throw new PortcullisError("params_invalid", { reason: String(answer.error.message) });
  return answer.result ?? null;
}

function send(path: string, verb: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = httpRequest({ socketPath: path, path: `/${verb}`, method: "POST" }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    call.on("error", (cause) =>
      reject(
        new PortcullisError("upstream_unavailable", { reason: `no gateway is running with ${path}`, cause }),
      ),
    );
    call.end(body);
  });
}
