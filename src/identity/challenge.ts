import type { JsonObject } from "../lib/json.ts";

export interface ResourceOptions {
  /** The exact URL of a virtual server: the audience of its tokens and its RFC 9728 `resource`. */
  readonly audience: (server: string) => string;
  /** Issuer identifiers of the authorization servers. */
  readonly issuers: readonly string[];
  /** Scopes that a virtual server's tokens all need. */
  readonly scopes: (server: string) => readonly string[];
}

/** What was wrong with the token. Absent: there was none (RFC 6750 section 3.1: then no error is named). */
export interface Problem {
  readonly error: "invalid_token" | "insufficient_scope";
  /** For a person. */
  readonly description: string;
  /** All the scopes needed, where they are not the usual ones; `offline_access` is never told. */
  readonly scopes?: readonly string[];
}

/** How a virtual server presents itself to OAuth clients. */
export interface ProtectedResource {
  /** Where the metadata stands: the well-known segment between host and path (RFC 9728 section 3.1). */
  metadataUrl(server: string): string;
  /** The metadata document (RFC 9728 section 2). */
  metadata(server: string): JsonObject;
  /** The value of `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1). */
  challenge(server: string, problem?: Problem): string;
}

export function createProtectedResource({ audience, issuers, scopes }: ResourceOptions): ProtectedResource {
  function metadataUrl(server: string): string {
    const url = new URL(audience(server));
    return `${url.origin}/.well-known/oauth-protected-resource${url.pathname === "/" ? "" : url.pathname}`;
  }

  return {
    metadataUrl,
    metadata: (server) => ({
      resource: audience(server),
      authorization_servers: issuers,
      // What is empty is left out (RFC 9728 section 3.2).
      ...(scopes(server).length > 0 && { scopes_supported: scopes(server) }),
      bearer_methods_supported: ["header"],
      resource_name: server,
    }),
    challenge(server, problem) {
      const needed = (problem?.scopes ?? scopes(server)).filter((scope) => scope !== "offline_access");
      const parameters = {
        ...(problem && { error: problem.error, error_description: problem.description }),
        ...(needed.length > 0 && { scope: needed.join(" ") }),
        resource_metadata: metadataUrl(server),
      };
      const written = Object.entries(parameters).map(([name, value]) => `${name}=${quoted(value)}`);
      return `Bearer ${written.join(", ")}`;
    },
  };
}

/** A quoted-string of the characters that RFC 6750 allows: what does not fit is left out, nothing is escaped. */
function quoted(value: string): string {
  return `"${value.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "")}"`;
}
