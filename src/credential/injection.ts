import { PortcullisError } from "../lib/errors.ts";
import { Secret } from "../lib/secret.ts";

/** What a secret is made of, by the names of its source: `username`, `password`, `token`. */
export type SecretFields = Readonly<Record<string, Secret>>;

/** How a secret travels to the upstream: in a request header, in a child's environment, never in a URL or in argv. */
export interface Injection {
  readonly header?: {
    /** Lower case. */
    readonly name: string;
    /** basic: of the fields `username` and `password` (RFC 7617). */
    readonly scheme: "bearer" | "basic" | "raw";
    /** Of bearer and raw. */
    readonly field?: string;
  };
  /** Field by variable. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Injected {
  readonly headers: ReadonlyMap<string, Secret>;
  readonly env?: ReadonlyMap<string, Secret>;
  /** What stands in them encoded, or after a scheme's name. */
  readonly secrets: readonly Secret[];
}

/** Names may come back in an answer: databases tell them. */
const PUBLIC = new Set(["username", "service_account_name", "service_account_namespace"]);

/** Throws `credential_unavailable`, naming the field and never its value, when it is absent or could break a header. */
export function injected(fields: SecretFields, { header, env }: Injection): Injected {
  const headers = new Map<string, Secret>();
  const secrets = Object.entries(fields).flatMap(([name, secret]) => (PUBLIC.has(name) ? [] : [secret]));
  if (header !== undefined) headers.set(header.name, headerValue(fields, header));
  if (env === undefined) return { headers, secrets };
  const variables = Object.entries(env).map(([variable, field]) => {
    const secret = fieldOf(fields, field);
    if (secret.reveal().includes("\0")) throw unfit(field, "an environment");
    return [variable, secret] as const;
  });
  return { headers, env: new Map(variables), secrets };
}

function headerValue(
  fields: SecretFields,
  { scheme, field = "token" }: NonNullable<Injection["header"]>,
): Secret {
  if (scheme === "basic") {
    const username = fieldOf(fields, "username").reveal();
    // The first colon ends the name.
    if (username.includes(":")) throw unfit("username", "a Basic header");
    const pair = `${username}:${fieldOf(fields, "password").reveal()}`;
    return new Secret(`Basic ${Buffer.from(pair, "utf8").toString("base64")}`);
  }
  const secret = fieldOf(fields, field);
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(secret.reveal())) throw unfit(field, "a header");
  return scheme === "bearer" ? new Secret(`Bearer ${secret.reveal()}`) : secret;
}

function fieldOf(fields: SecretFields, name: string): Secret {
  const found = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (found === undefined) {
    throw new PortcullisError("credential_unavailable", { reason: `the secret has no field "${name}"` });
  }
  return found;
}

function unfit(field: string, where: string): PortcullisError {
  return new PortcullisError("credential_unavailable", {
    reason: `field "${field}" of the secret cannot stand in ${where}`,
  });
}
