import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { readForm } from "../lib/form.ts";
import { derive } from "./seal.ts";

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
      const { origin: from, "sec-fetch-site": site } = request.headers;
      if (from !== undefined && from !== origin) return null;
      if (site !== undefined && site !== "same-origin") return null;
      const form = await readForm(request);
      return form !== undefined && equal(form.get("token") ?? "", token(session)) ? form : null;
    },
  };
}

function equal(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
