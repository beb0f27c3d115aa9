import type { IncomingMessage } from "node:http";
import { gather } from "./gathered.ts";

const MAX_BYTES = 4_096;

/** The fields of a form that a page of ours posted; undefined: it is no form, or longer than any of them. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const { "content-type": type = "" } = request.headers;
  if (type.split(";")[0]?.trim() !== "application/x-www-form-urlencoded") return undefined;
  const body = await gather(request, MAX_BYTES);
  return body && new URLSearchParams(body.toString("utf8"));
}
