import { X509Certificate } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { Secret } from "../../lib/secret.ts";
import { type Injection, injected } from "../injection.ts";
import { type CredentialSource, latestEnd } from "../source.ts";
import { malformed } from "./faults.ts";
import { fieldsOf, unleased } from "./lease.ts";
import { render } from "./path.ts";
import type { Vault } from "./vault.ts";

/** By how much Vault's clock and ours may differ: Vault dates certificates back by as much. */
const CLOCKS_MS = 30_000;

/**
 * A client certificate for this principal, for mutual TLS; its role should be `no_store`, it ends by expiring. One that
 * would live longer than was asked for is refused: nothing can end it early.
 */
export function createVaultPkiSource(options: {
  readonly vault: Vault;
  readonly mount: string;
  /** Templates: of the role's name, and of the URI (such as a SPIFFE id) that the certificate names. */
  readonly role: string;
  readonly uriSan: string;
  readonly injection: Injection;
  readonly clock: Clock;
}): CredentialSource {
  const { vault, mount, injection, clock } = options;
  return {
    obtain(request, principal, order) {
      const variables = vault.variables(principal, request.role);
      const path = `${mount}/issue/${render(options.role, variables)}`;
      const uri = render(options.uriSan, variables);
      return vault.obtain(principal, order, async ({ client, user, call }) => {
        const now = clock();
        const latest = latestEnd(request, principal, now);
        const ttl = Math.floor((latest - now) / 1000);
        const { data, requestId } = await client.write(path, { uri_sans: uri, ttl: `${ttl}s` }, call);
        const { certificate, private_key: key, ca_chain: chain } = data;
        if (typeof certificate !== "string" || typeof key !== "string") throw malformed("certificate");
        const notAfter = Date.parse(parsed(certificate, uri).validTo);
        const made = { user, expires: Math.min(notAfter, latest), requestId, id: certificate };
        if (!(notAfter <= latest + (clock() - now) + CLOCKS_MS)) {
          const lasting = unleased({ headers: new Map() }, { ...made, expires: notAfter });
          order.discard(lasting, "it lives longer than is permitted");
          throw new PortcullisError("credential_refused", {
            reason: "vault's certificates of this role live longer than is permitted",
          });
        }
        const above = Array.isArray(chain) ? chain.filter((one) => typeof one === "string") : [];
        const secret = new Secret(key);
        const lease = {
          ...injected(fieldsOf(data), injection),
          // In an environment it is the child that shows it.
          ...(injection.env === undefined && {
            certificate: { certificate: [certificate, ...above].join("\n"), key: secret },
          }),
          secrets: [secret],
        };
        return unleased(lease, made);
      });
    },
    close: async () => {},
  };
}

/** The certificate names this principal and nobody else, whatever the role would have allowed. */
function parsed(pem: string, uri: string): X509Certificate {
  try {
    const certificate = new X509Certificate(pem);
    if (certificate.subjectAltName === `URI:${uri}`) return certificate;
  } catch {
    // Said below, without its text.
  }
  throw malformed("certificate for this principal");
}
