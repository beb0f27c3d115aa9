/** What a browser shows. */
export interface Shown {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
}

interface Visit {
  readonly method?: "GET" | "POST";
  readonly form?: Record<string, string>;
  readonly headers?: Record<string, string>;
}

/** A browser without a window: cookies by origin and path, redirects followed, forms sent with their hidden fields. */
export function aBrowser() {
  const jars = new Map<string, Map<string, string>>();
  const jarOf = (url: URL) => {
    const jar = jars.get(url.origin) ?? new Map<string, string>();
    jars.set(url.origin, jar);
    return jar;
  };
  const paths = new Map<string, string>();
  const visited: URL[] = [];

  async function once(url: URL, { method = "GET", form, headers = {} }: Visit): Promise<Response> {
    visited.push(url);
    const jar = jarOf(url);
    const own = [...jar].filter(([name]) => url.pathname.startsWith(paths.get(name) ?? "/"));
    const response = await fetch(url, {
      method,
      redirect: "manual",
      headers: {
        accept: "text/html",
        cookie: own.map(([name, value]) => `${name}=${value}`).join("; "),
        ...(method === "POST" && { origin: url.origin, "sec-fetch-site": "same-origin" }),
        ...headers,
      },
      ...(method === "POST" && { body: new URLSearchParams(form) }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === "" || /max-age=0\b/i.test(cookie)) jar.delete(name);
      else jar.set(name, value);
      paths.set(name, /; path=([^;]+)/i.exec(cookie)?.[1] ?? "/");
    }
    return response;
  }

  /** @param until stops before this address is asked for, and gives it */
  async function go(address: string | URL, visit: Visit = {}, until?: (url: URL) => boolean): Promise<Shown> {
    let url = new URL(address);
    let next = visit;
    for (let steps = 0; steps < 20; steps += 1) {
      const response = await once(url, next);
      const html = await response.text();
      const location = response.headers.get("location");
      if (location === null) return { url, status: response.status, headers: response.headers, html };
      url = new URL(location, url);
      if (until?.(url)) return { url, status: response.status, headers: response.headers, html };
      next = {};
    }
    throw new Error(`redirected without end: ${url}`);
  }

  return {
    go,
    /** Every address that was asked for. */
    visited,
    cookies: (origin: string) => jarOf(new URL(origin)),
    /** Sends the page's form with this action, or its only one. */
    submit(
      { html, url }: Shown,
      fields: Record<string, string> = {},
      options: { action?: string; until?: (url: URL) => boolean; headers?: Record<string, string> } = {},
    ) {
      const { action, until, headers } = options;
      const forms = [...html.matchAll(/<form method="post"(?: action="([^"]*)")?>([\s\S]*?)<\/form>/g)];
      const form = forms.find(([, own]) => action === undefined || own === action);
      if (form === undefined) throw new Error(`no such form: ${html}`);
      const hidden = [...(form[2] ?? "").matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)];
      const own = Object.fromEntries(hidden.map(([, name = "", value = ""]) => [name, value]));
      const to = new URL(form[1] ?? url, url);
      return go(to, { method: "POST", form: { ...own, ...fields }, ...(headers && { headers }) }, until);
    },
  };
}

export type Browser = ReturnType<typeof aBrowser>;

/** Opens a link page as this user, who signs in when asked, and goes the whole way. Gives the last page's status. */
export async function linkAt(url: string, user: string): Promise<number> {
  const browser = aBrowser();
  const shown = await browser.go(url);
  const page = shown.url.pathname.startsWith("/oauth/interaction/")
    ? await browser.submit(shown, { user })
    : shown;
  return (await browser.submit(page)).status;
}
