import type { IncomingMessage, ServerResponse } from "node:http";

/** The browser's cookies for these pages: for no other host, no script, and no request that another site makes. */
export interface Cookies {
  get(request: IncomingMessage, name: string): string | undefined;
  set(response: ServerResponse, name: string, value: string, ttlMs: number): void;
  clear(response: ServerResponse, name: string): void;
}

/** `__Host-` binds a cookie to this very origin, and needs https; without it there is only loopback. */
export function createCookies(publicUrl: string): Cookies {
  const secure = new URL(publicUrl).protocol === "https:";
  const prefix = secure ? "__Host-portcullis-" : "portcullis-";
  const attributes = `Path=/; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;

  const set: Cookies["set"] = (response, name, value, ttlMs) => {
    const age = Math.floor(ttlMs / 1000);
    response.appendHeader("set-cookie", `${prefix}${name}=${value}; Max-Age=${age}; ${attributes}`);
  };

  return {
    get({ headers }, name) {
      const wanted = `${prefix}${name}=`;
      const found = (headers.cookie ?? "").split(";").map((one) => one.trim());
      const [value, ...more] = found.filter((one) => one.startsWith(wanted));
      // Two of one name: another host of the domain may have set one of them.
      return more.length > 0 ? undefined : value?.slice(wanted.length);
    },
    set,
    clear: (response, name) => set(response, name, "", 0),
  };
}
