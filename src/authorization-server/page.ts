import { escaped, type Page, page } from "../lib/page.ts";
import type { SampleUser } from "./users.ts";

export type { Page };

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

/** "Choose a sample user": one click signs in and consents. */
export function choicePage(question: Question): Page {
  const target = URL.parse(question.redirectUri);
  // Only where the web's names lead is a host somebody's: any program may claim `its.scheme://well-known.example`.
  const answered = /^https?:$/.test(target?.protocol ?? "") ? target?.host : undefined;
  const from =
    question.clientHost === "" ? "" : ` (described at <code>${escaped(question.clientHost)}</code>)`;
  const body = `
<h1>${escaped(question.client)} wants to act for a sample user</h1>
<p>This program${from} asks for <code>${escaped(question.scopes.join(" "))}</code> on ${question.resources.map((one) => `<code>${escaped(one)}</code>`).join(", ")}.
It will be answered at <code>${escaped(answered ?? question.redirectUri)}</code>.</p>
<form method="post">
${question.users.map(userButton).join("\n")}
<button class="quiet" name="cancel" value="yes">Do not allow this</button>
</form>`;
  // Browsers apply form-action to the redirect that follows, too; a scheme is all it takes for [::1] as well.
  return page("Choose a sample user", body, `'self' ${target?.protocol ?? ""}`);
}

export function errorPage(error: string, description: string): Page {
  const body = `
<h1>This sign-in cannot go on</h1>
<p>Start again from the program that sent you here. If it sends you here once more, let it forget this server, and add it anew.</p>
<p><code>${escaped(error)}</code> ${escaped(description)}</p>`;
  return page("Sign-in failed", body, "'none'");
}

function userButton({ subject, name, tenant, roles }: SampleUser): string {
  const about = [tenant, ...roles].map(escaped).join(" · ");
  return `<button name="user" value="${escaped(subject)}"><span>Allow as <strong>${escaped(name)}</strong></span><small>${about}</small></button>`;
}
