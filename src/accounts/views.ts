import { escaped, type Page, page } from "../lib/page.ts";
import type { LinkView } from "./kept-links.ts";
import type { BrowserUser } from "./sign-in.ts";
import type { Ticket } from "./tickets.ts";

/** Names come from third parties and from tokens: all of them are escaped here. */
export function linkView(asked: {
  readonly title: string;
  readonly scopes: readonly string[];
  readonly ticket: Ticket;
  readonly user: BrowserUser;
  readonly token: string;
  readonly formAction: string;
}): Page {
  const { title, scopes, ticket, user, token, formAction } = asked;
  const wanted =
    scopes.length === 0
      ? ""
      : ` It asks for ${scopes.map((one) => `<code>${escaped(one)}</code>`).join(" ")}.`;
  const body = `
<h1>Connect your ${escaped(title)} account?</h1>
<p>Your agents will act with it for <strong>${escaped(user.name)}</strong>, within policy.${wanted}</p>
<p>You are <code>${escaped(ticket.subject)}</code> of <code>${escaped(ticket.tenant)}</code>.
Go on only if it was your own agent that gave you this link.</p>
<form method="post">
${hidden("token", token)}
<button><strong>Connect ${escaped(title)}</strong><small>You will be asked there to allow it</small></button>
</form>`;
  return page(`Connect ${title}`, body, formAction);
}

/** Somebody else is signed in than the ticket names: the account of one must not become the other's. */
export function otherUserView(asked: {
  readonly user: BrowserUser;
  readonly ticket: string;
  readonly token: string;
  readonly formAction: string;
}): Page {
  const { user, ticket, token, formAction } = asked;
  const body = `
<h1>This link is not for you</h1>
<p>It was made for another user, and you are signed in as <strong>${escaped(user.name)}</strong>
(<code>${escaped(user.subject)}</code> of <code>${escaped(user.tenant)}</code>).
If somebody sent it to you, close this page.</p>
<form method="post" action="/accounts/sign-out">
${hidden("token", token)}
${hidden("ticket", ticket)}
<button class="quiet">Sign in as somebody else</button>
</form>`;
  return page("Not your link", body, formAction);
}

export function listView(shown: {
  readonly user: BrowserUser;
  readonly links: readonly LinkView[];
  readonly titleOf: (account: string) => string;
  readonly token: string;
  readonly formAction: string;
}): Page {
  const { user, links, titleOf, token, formAction } = shown;
  const forms = links.map(
    ({ account, state, scopes, linkedAt }) => `<form method="post" action="/accounts/unlink">
${hidden("token", token)}${hidden("account", account)}
<button><span>Disconnect <strong>${escaped(titleOf(account))}</strong></span>
<small>${state === "broken" ? "has ended there" : `since ${linkedAt.toISOString().slice(0, 10)}`}${scopes.map((one) => ` · ${escaped(one)}`).join("")}</small></button>
</form>`,
  );
  const none = "<p>There is none. Your agent gives you a link when it needs one.</p>";
  const body = `
<h1>Connected accounts</h1>
<p>Of <strong>${escaped(user.name)}</strong>, <code>${escaped(user.subject)}</code> of <code>${escaped(user.tenant)}</code>.</p>
${forms.length === 0 ? none : forms.join("\n")}
<form method="post" action="/accounts/sign-out">${hidden("token", token)}<button class="quiet">Sign out</button></form>`;
  return page("Connected accounts", body, formAction);
}

/** At which issuer: where users come from several. */
export function choiceView(issuers: readonly string[]): Page {
  const links = issuers.map((one, at) => `<p><a href="/accounts/sign-in/${at}">${escaped(one)}</a></p>`);
  return page("Sign in", `<h1>Where do you sign in?</h1>${links.join("")}`, "'none'");
}

/** A plain notice. */
export function noticeView(title: string, text: string): Page {
  return page(title, `<h1>${escaped(title)}</h1><p>${escaped(text)}</p>`, "'none'");
}

function hidden(name: string, value: string): string {
  return `<input type="hidden" name="${name}" value="${escaped(value)}">`;
}
