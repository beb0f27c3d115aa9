import { createHash } from "node:crypto";
import type { SampleUser } from "./users.ts";

export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  readonly html: string;
}

/** What the person is asked. Everything about the client is the client's own word. */
export interface Question {
  readonly client: string;
  /** Where the document stands that describes the client; "" for one that registered itself. */
  readonly clientHost: string;
  readonly redirectUri: string;
  readonly resources: readonly string[];
  readonly scopes: readonly string[];
  readonly users: readonly SampleUser[];
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5d6878; --line: #d9dee6; --paper: #fff; --back: #f3f5f8; --mark: #2456c7 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #9aa6b6; --line: #343d4b; --paper: #1b212b; --back: #12161d; --mark: #86aaff } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(30rem, 100%); background: var(--paper); border: 1px solid var(--line); border-radius: 14px; padding: 2rem }
h1 { margin: 0 0 .75rem; font-size: 1.3rem; line-height: 1.3; overflow-wrap: anywhere }
p { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere }
code { color: var(--ink); font-size: .9em }
form { display: grid; gap: .6rem; margin-top: 1.5rem }
button { display: grid; gap: .1rem; width: 100%; padding: .7rem 1rem; text-align: left; font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 10px; cursor: pointer }
button:hover, button:focus-visible { border-color: var(--mark); outline: 2px solid var(--mark); outline-offset: -1px }
button small { color: var(--soft) }
button.quiet { border: 0; text-align: center; color: var(--soft) }
`;
const STYLE_SOURCE = `'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;

/** "Choose a sample user": one click signs in and consents. */
export function choicePage(question: Question): Page {
  const target = URL.parse(question.redirectUri);
  const from =
    question.clientHost === "" ? "" : ` (described at <code>${escaped(question.clientHost)}</code>)`;
  const body = `
<h1>${escaped(question.client)} wants to act for a sample user</h1>
<p>This program${from} asks for <code>${escaped(question.scopes.join(" "))}</code> on ${question.resources.map((one) => `<code>${escaped(one)}</code>`).join(", ")}.
It will be answered at <code>${escaped(target?.host || question.redirectUri)}</code>.</p>
<form method="post">
${question.users.map(userButton).join("\n")}
<button class="quiet" name="cancel" value="yes">Do not allow this</button>
</form>`;
  // Browsers apply form-action to the redirect that follows, too; a scheme is all it takes for [::1] as well.
  return page("Choose a sample user", body, `'self' ${target?.protocol ?? ""}`);
}

export function errorPage(error: string, description: string): Page {
  return page(
    "Sign-in failed",
    `<h1>This sign-in cannot go on</h1><p>${escaped(description)}</p><p><code>${escaped(error)}</code></p>`,
    "'none'",
  );
}

function userButton({ subject, name, tenant, roles }: SampleUser): string {
  const about = [tenant, ...roles].map(escaped).join(" · ");
  return `<button name="user" value="${escaped(subject)}"><span>Allow as <strong>${escaped(name)}</strong></span><small>${about}</small></button>`;
}

function page(title: string, body: string, formAction: string): Page {
  const policy = `default-src 'none'; style-src ${STYLE_SOURCE}; form-action ${formAction}; frame-ancestors 'none'; base-uri 'none'`;
  return {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
    html: `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>
`,
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
