import { afterEach } from "vitest";
import { createIdentity, type IdentityOptions } from "../../src/identity/identity.ts";
import type { IssuerOptions } from "../../src/identity/token.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createDirectory } from "./directory.ts";
import { audience, handClock, type Issuer, startIssuer } from "./issuer.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export async function anIssuer(): Promise<Issuer> {
  const issuer = await startIssuer();
  closers.push(issuer.close);
  return issuer;
}

export function optionsOf(issuer: Issuer): IssuerOptions {
  return {
    issuer: issuer.issuer,
    jwks_uri: issuer.jwks_uri,
    algorithms: ["ES256"],
    tenant: { claim: "tenant" },
    claims: { roles: "roles" },
  };
}

/** The stage with two tenants, on a clock turned by hand. */
export function aStage(issuers: readonly IssuerOptions[], changes: Partial<IdentityOptions> = {}) {
  const clock = handClock();
  const directory = createDirectory({
    tenants: new Map([
      ["acme", { refund_limit: 100 }],
      ["globex", { refund_limit: 5 }],
    ]),
  });
  const stage = createIdentity({
    issuers,
    audience,
    directory,
    clock,
    fetch,
    log: silentLog,
    scopes: () => ["mcp"],
    ...changes,
  });
  closers.push(stage.close);
  return {
    clock,
    directory,
    stage,
    who: (token: string, server = "support") => stage.authenticate(new Secret(token), server),
    /** The code of the refusal, or the subject that got in. */
    outcome: (token: string, server = "support") =>
      stage.authenticate(new Secret(token), server).then(
        ({ principal }) => `in: ${principal.subject}`,
        (error: unknown) => (error instanceof PortcullisError ? error.code : `foreign: ${error}`),
      ),
  };
}

/** The refusal of a promise that must be refused. */
export async function refusalOf(promise: Promise<unknown>): Promise<PortcullisError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PortcullisError)) throw new Error(`expected a refusal, got ${error}`);
  return error;
}
