import type { IncomingMessage, ServerResponse } from "node:http";
import type Provider from "oidc-provider";
import type { Interaction } from "oidc-provider";
import { readForm } from "../lib/form.ts";
import { choicePage, errorPage, type Page } from "./page.ts";
import { ASSURANCE, type SampleUser } from "./users.ts";

/** Answers `GET` and `POST <mount>/interaction/<uid>`: shows the sample users, and finishes with the one chosen. */
export function createInteraction(provider: Provider, users: ReadonlyMap<string, SampleUser>) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let interaction: Interaction;
    try {
      // The cookie that the authorization endpoint set for this very path: no other browser can answer (CSRF).
      interaction = await provider.interactionDetails(request, response);
    } catch {
      return send(
        response,
        400,
        errorPage("session_not_found", "It was begun in another browser, or too long ago."),
      );
    }
    if (request.method === "GET") return send(response, 200, await question(provider, interaction, users));
    if (request.method !== "POST") return send(response, 405, errorPage("invalid_request", "Use the form."));
    const form = await readForm(request);
    if (form?.get("cancel") === "yes") {
      const refusal = { error: "access_denied", error_description: "the sample user did not allow this" };
      return provider.interactionFinished(request, response, refusal, { mergeWithLastSubmission: false });
    }
    const user = users.get(form?.get("user") ?? "");
    if (user === undefined)
      return send(response, 400, errorPage("invalid_request", "There is no such sample user."));
    const result = {
      login: { accountId: user.subject, remember: false, acr: ASSURANCE.acr, amr: [...ASSURANCE.amr] },
      consent: { grantId: await grant(provider, interaction, user) },
    };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  };
}

async function question(
  provider: Provider,
  { params }: Interaction,
  users: ReadonlyMap<string, SampleUser>,
): Promise<Page> {
  const id = String(params.client_id);
  const client = await provider.Client.find(id);
  return choicePage({
    client: client?.clientName ?? id,
    clientHost: URL.parse(id)?.host ?? "",
    redirectUri: String(params.redirect_uri),
    resources: resourcesOf(params),
    scopes: scopesOf(params),
    users: [...users.values()],
  });
}

/** The whole of what was asked for: with sample users there is nothing to hold back. */
async function grant(provider: Provider, { params }: Interaction, user: SampleUser): Promise<string> {
  const given = new provider.Grant({ accountId: user.subject, clientId: String(params.client_id) });
  const scope = scopesOf(params).join(" ");
  given.addOIDCScope(scope);
  for (const resource of resourcesOf(params)) given.addResourceScope(resource, scope);
  return given.save();
}

function scopesOf({ scope }: Interaction["params"]): readonly string[] {
  return typeof scope === "string" ? scope.split(" ") : [];
}

function resourcesOf({ resource }: Interaction["params"]): readonly string[] {
  return [resource].flat().filter((one): one is string => typeof one === "string");
}

function send(response: ServerResponse, status: number, page: Page): void {
  response.writeHead(status, { ...page.headers }).end(page.html);
}
