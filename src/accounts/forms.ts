import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { derive } from "./seal.ts";

const MAX_FORM = 4_096;

/** The page's own forms: from this origin, by this sign-in. */
export interface Forms {
  /** Goes into the page's forms. */
  token(session: string): string;
  /** The fields of a form that this sign-in's page sent; null: another site's, or no such form. */
  read(request: IncomingMessage, session: string): Promise<URLSearchParams | null>;
}

export function createForms(publicUrl: string, master: Uint8Array): Forms {
  const key = derive(master, "forms");
  const { origin } = new URL(publicUrl);
  const token = (session: string): string => createHmac("sha256", key).update(session).digest("base64url");

  return {
    token,
    async read(request, session) {
      const { origin: from, "content-type": type = "", "sec-fetch-site": site } = request.headers;
      if (from !== undefined && from !== origin) return null;
      if (site !== undefined && site !== "same-origin") return null;
      if (type.split(";")[0]?.trim() !== "application/x-www-form-urlencoded") return null;
      const form = await readForm(request);
      return form !== null && equal(form.get("token") ?? "", token(session)) ? form : null;
    },
  };
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_FORM) return null;
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString("utf8"));
}

function equal(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
