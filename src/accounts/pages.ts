import type { IncomingMessage, ServerResponse } from "node:http";
import type { UserKey } from "../domain.ts";
import { ERRORS, toPortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Page } from "../lib/page.ts";
import type { Forms } from "./forms.ts";
import type { KeptLinks } from "./kept-links.ts";
import { type Linking, sameUser } from "./linking.ts";
import type { BrowserUser, Next, SignIn } from "./sign-in.ts";
import { choiceView, linkView, listView, noticeView, otherUserView } from "./views.ts";

export interface PagesOptions {
  readonly publicUrl: string;
  readonly titleOf: (account: string) => string;
  readonly scopesOf: (account: string) => readonly string[];
  readonly linking: Linking;
  readonly signIn: SignIn;
  readonly forms: Forms;
  readonly kept: Pick<KeptLinks, "list" | "unlink">;
  readonly admit: (user: UserKey, request: IncomingMessage) => Promise<void>;
  readonly log: Log;
}

export interface Pages {
  /** Whether this path (no query) is one of the pages: `/accounts` and below. */
  handles(path: string): boolean;
  handle(request: IncomingMessage, response: ServerResponse): void;
}

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The last part of the path. */
  readonly last: string;
  readonly query: string;
  readonly user: BrowserUser | null;
}

type Route = (asked: Asked) => Promise<void>;

const ROOT = "/accounts";
const USED = noticeView("This link was used", "Ask your agent again: it gives you a new one.");
const UNKNOWN = noticeView(
  "This cannot go on",
  "It was not begun in this browser, or too long ago. Ask your agent for a new link.",
);
const STALE = noticeView(
  "This link leads nowhere",
  "It is older than ten minutes, or not whole. Ask your agent for a new one.",
);
const FORGED = noticeView("This form is not ours", "Go back, load the page again, and send it from there.");
const NOWHERE = noticeView("There is nothing here", "Ask your agent for a link.");
const SUSPENDED = noticeView("This is closed for now", `${ERRORS.tenant_suspended.text} (tenant_suspended)`);
const REFUSED = noticeView(
  "You are not signed in",
  "Your sign-in failed or was refused. Open the page again to try it once more.",
);
const ENDED = noticeView("You are not signed in", "Your sign-in has ended. Open the page again to sign in.");

/** The pages under `/accounts`: for a browser whose user has signed in at their issuer. */
export function createPages(options: PagesOptions): Pages {
  const { publicUrl, titleOf, scopesOf, linking, signIn, forms, kept, admit, log } = options;
  const { host, protocol } = new URL(publicUrl);
  // Browsers apply it to the redirects that follow a form, too: to the provider, and wherever that goes.
  const formAction = protocol === "https:" ? "'self' https:" : "'self' https: http:";

  async function toSignIn(response: ServerResponse, issuer: string, next: Next, anew = false): Promise<void> {
    redirect(response, String(await signIn.begin(response, { issuer, next, anew })));
  }

  async function list({ response, user }: Asked): Promise<void> {
    const [issuer, ...more] = signIn.issuers;
    if (user !== null) {
      const token = forms.token(user.id);
      const links = await kept.list(user);
      return send(response, 200, listView({ user, links, titleOf, token, formAction }));
    }
    if (issuer !== undefined && more.length === 0) return toSignIn(response, issuer, { page: "list" });
    send(response, 200, choiceView(signIn.issuers));
  }

  async function showLink({ response, last, user }: Asked): Promise<void> {
    const ticket = linking.ticket(last);
    if (ticket === null) return send(response, 400, STALE);
    if (user === null) return toSignIn(response, ticket.issuer, { page: "link", ticket: last });
    const token = forms.token(user.id);
    if (!sameUser(ticket, user)) {
      return send(response, 403, otherUserView({ user, ticket: last, token, formAction }));
    }
    const { account } = ticket;
    const shown = { title: titleOf(account), scopes: scopesOf(account), ticket, user, token, formAction };
    send(response, 200, linkView(shown));
  }

  async function confirmLink({ request, response, last, user }: Asked): Promise<void> {
    const ticket = linking.ticket(last);
    if (ticket === null) return send(response, 400, STALE);
    if (user === null) return send(response, 403, ENDED);
    if ((await forms.read(request, user.id)) === null) return send(response, 403, FORGED);
    if (!sameUser(ticket, user)) return send(response, 403, UNKNOWN);
    const url = await linking.begin(response, ticket);
    if (url === null) return send(response, 400, USED);
    redirect(response, url.href);
  }

  async function callback({ request, response, last: account, query, user }: Asked): Promise<void> {
    const linked = await linking.finish(request, response, { account, query, user });
    if (linked.kind === "linked") return redirect(response, `${ROOT}/linked/${account}`);
    if (linked.kind === "unknown") return send(response, 400, UNKNOWN);
    if (linked.kind === "used") return send(response, 400, USED);
    log.warn({ account, error: linked.error }, "an account was not linked");
    const text = `${titleOf(account)} answered ${linked.error}. Ask your agent for a new link to try again.`;
    send(response, 400, noticeView("The account was not connected", text));
  }

  async function unlink({ request, response, user }: Asked): Promise<void> {
    if (user === null) return send(response, 403, ENDED);
    const form = await forms.read(request, user.id);
    if (form === null) return send(response, 403, FORGED);
    const { tenant, issuer, subject } = user;
    const account = form.get("account") ?? "";
    const gone = await kept.unlink({ tenant, issuer, subject, account });
    if (!gone.found || gone.revoked) return redirect(response, ROOT);
    const text = `It is deleted here, but ${titleOf(account)} could not be told. Remove the access there, too.`;
    send(response, 200, noticeView("The account was disconnected", text));
  }

  async function signOut({ request, response, user }: Asked): Promise<void> {
    if (user === null) return send(response, 403, ENDED);
    const form = await forms.read(request, user.id);
    if (form === null) return send(response, 403, FORGED);
    signIn.signOut(response);
    const text = form.get("ticket") ?? "";
    const ticket = linking.ticket(text);
    if (ticket === null)
      return send(response, 200, noticeView("You are signed out", "You may close this page."));
    await toSignIn(response, ticket.issuer, { page: "link", ticket: text }, true);
  }

  async function signedIn({ request, response, query }: Asked): Promise<void> {
    const answer = await signIn.finish(request, response, query);
    if (answer.kind === "refused") return send(response, 400, REFUSED);
    const { next } = answer;
    redirect(response, next.page === "list" ? ROOT : `${ROOT}/link/${next.ticket}`);
  }

  async function signInAt({ response, last }: Asked): Promise<void> {
    const issuer = signIn.issuers[Number(last)];
    if (issuer === undefined) return send(response, 404, NOWHERE);
    await toSignIn(response, issuer, { page: "list" });
  }

  const linkedPage: Route = async ({ response, last }) => {
    if (!linking.has(last)) return send(response, 404, NOWHERE);
    const title = `Your ${titleOf(last)} account is connected`;
    send(
      response,
      200,
      noticeView(title, "Go back to your agent: it can go on now. You may close this page."),
    );
  };

  /** By method and path; `*` is one segment, the last. */
  const routes: Readonly<Record<string, Route>> = {
    "GET /accounts": list,
    "GET /accounts/link/*": showLink,
    "POST /accounts/link/*": confirmLink,
    "GET /accounts/callback/*": callback,
    "GET /accounts/linked/*": linkedPage,
    "POST /accounts/unlink": unlink,
    "POST /accounts/sign-out": signOut,
    "GET /accounts/sign-in/callback": signedIn,
    "GET /accounts/sign-in/*": signInAt,
  };

  async function dispatch(request: IncomingMessage & { originalUrl?: string }, response: ServerResponse) {
    // Cookies and forms are worth an account: another name for this address (DNS rebinding) gets none of them.
    if (request.headers.host !== host) return send(response, 403, NOWHERE);
    const [path = "", ...query] = (request.originalUrl ?? request.url ?? "").split("?");
    const last = path.slice(path.lastIndexOf("/") + 1);
    const asked = `${request.method} ${path}`;
    const route = routes[asked] ?? routes[`${asked.slice(0, -last.length)}*`];
    if (route === undefined || !/^[\w-]*$/.test(last)) return send(response, 404, NOWHERE);
    const user = await signIn.verifyBrowser(request);
    if (user !== null) await admit(user, request);
    await route({ request, response, last, query: query.join("?"), user });
  }

  return {
    handles: (path) => path === ROOT || path.startsWith(`${ROOT}/`),
    handle(request, response) {
      dispatch(request, response).catch((thrown: unknown) => {
        const { code, message, row } = toPortcullisError(thrown);
        if (code === "tenant_suspended") return send(response, row.http, SUSPENDED);
        log.error({ reason: message }, "a page of the connected accounts failed");
        if (response.headersSent) return void response.destroy();
        const status = row.http === 200 ? 502 : row.http;
        send(response, status, noticeView("This does not work right now", `${row.text} Try again later.`));
      });
    },
  };
}

function send(response: ServerResponse, status: number, { headers, html }: Page): void {
  response.writeHead(status, { ...headers }).end(html);
}

/** See Other: a form is not sent again. */
function redirect(response: ServerResponse, location: string): void {
  response.writeHead(303, { location, "cache-control": "no-store", "referrer-policy": "no-referrer" }).end();
}
