import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** The body as JSON, or null. */
  readonly json: { readonly error?: { readonly data?: { readonly code?: string } } } | null;
}

export function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}

/** Everything that arrives until the server closes the connection. */
export function rest(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text));
  });
}

/** The first answer on a connection on which these bytes were sent. */
export async function send(port: number, bytes: Buffer): Promise<RawAnswer> {
  const socket = await open(port);
  try {
    socket.write(bytes);
    return await firstAnswer(socket, bytes.subarray(0, 5).toString() === "HEAD ");
  } finally {
    socket.destroy();
  }
}

export function firstAnswer(socket: Socket, bodyless = false): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let text = "";
    const look = (ended: boolean): void => {
      const answer = parse(text, ended || bodyless);
      if (answer !== undefined) resolve(answer);
      else if (ended) reject(new Error(`no whole answer: ${JSON.stringify(text.slice(0, 200))}`));
    };
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
      look(false);
    });
    socket.on("error", reject);
    socket.on("close", () => look(true));
  });
}

function parse(text: string, ended: boolean): RawAnswer | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  if (line.includes(" 100 ")) return parse(text.slice(end + 4), ended);
  const headers = new Map(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
    }),
  );
  const body = text.slice(end + 4);
  const length = headers.get("content-length");
  const whole =
    length === undefined ? !headers.has("transfer-encoding") : Buffer.byteLength(body) >= Number(length);
  if (!whole && !ended) return undefined;
  let json: RawAnswer["json"] = null;
  try {
    json = JSON.parse(body);
  } catch {}
  return { status: Number(line.split(" ")[1]), headers, body, json };
}

export interface RawRequest {
  readonly method?: string;
  readonly target?: string;
  /** Header lines that replace the default of the same name, or are added; null leaves the default out. */
  readonly headers?: readonly (readonly [name: string, value: string | null])[];
  readonly body?: string | Buffer;
}

export const BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}';

/** A good POST, but for what is changed. */
export function request(
  port: number,
  { method = "POST", target = "/mcp/support", headers = [], body = BODY }: RawRequest,
): Buffer {
  const bytes = Buffer.from(body);
  const defaults = new Map([
    ["Host", `127.0.0.1:${port}`],
    ["Authorization", "Bearer token"],
    ["Content-Type", "application/json"],
    ["Accept", "application/json, text/event-stream"],
    ["Content-Length", String(bytes.length)],
  ]);
  for (const [name] of headers) defaults.delete(name);
  const lines = [...defaults, ...headers].flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}`],
  );
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`), bytes]);
}
