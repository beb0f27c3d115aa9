import { createHash, randomBytes } from "node:crypto";
import { aBrowser, type World } from "./world.ts";

export const REDIRECT = "http://127.0.0.1:39999/callback";

/** An OAuth client written out, so that a test can leave something out. */
export async function aClient({ origin, url }: World, metadata: Record<string, unknown> = {}) {
  const registered = await fetch(`${origin}/oauth/reg`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      client_name: "a test",
      redirect_uris: [REDIRECT],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      ...metadata,
    }),
  });
  const { client_id } = (await registered.json()) as { client_id: string };
  const verifier = randomBytes(32).toString("base64url");

  const authorizationUrl = (changes: Record<string, string | undefined> = {}) => {
    const parameters: Record<string, string | undefined> = {
      client_id,
      response_type: "code",
      redirect_uri: REDIRECT,
      scope: "mcp",
      state: "a-state",
      resource: url,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      ...changes,
    };
    const query = Object.entries(parameters).filter(
      (pair): pair is [string, string] => pair[1] !== undefined,
    );
    return `${origin}/oauth/auth?${new URLSearchParams(query)}`;
  };

  const token = async (body: Record<string, string>) => {
    const response = await fetch(`${origin}/oauth/token`, {
      method: "POST",
      body: new URLSearchParams({ client_id, ...body }),
    });
    return (await response.json()) as Record<string, string>;
  };

  return {
    client_id,
    registered,
    authorizationUrl,
    /** What the redirect back says, after this sample user was chosen. */
    async authorize(user: string, changes: Record<string, string | undefined> = {}) {
      const { callback, page } = await aBrowser(origin).authorize(authorizationUrl(changes), { user });
      return { page, callback, answer: answerIn(callback) };
    },
    redeem: (code: string, changes: Record<string, string> = {}) =>
      token({
        grant_type: "authorization_code",
        code,
        redirect_uri: REDIRECT,
        code_verifier: verifier,
        resource: url,
        ...changes,
      }),
    revoke: (told: string) =>
      fetch(`${origin}/oauth/token/revocation`, {
        method: "POST",
        body: new URLSearchParams({ client_id, token: told }),
      }),
    refresh: (refresh_token: string) => token({ grant_type: "refresh_token", refresh_token, resource: url }),
  };
}

/** The parameters of a redirect back, in its query or its fragment. */
function answerIn(callback: URL | undefined): Record<string, string> {
  return {
    ...Object.fromEntries(callback?.searchParams ?? []),
    ...Object.fromEntries(new URLSearchParams(callback?.hash.slice(1))),
  };
}
