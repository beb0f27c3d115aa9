import type { Principal } from "../../domain.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { sha256 } from "../../lib/json.ts";

/** What may stand for a variable. No slash, no wildcard (`*`, `+`), nothing that a URL or a policy template reads. */
const VALUE = /^[A-Za-z0-9][A-Za-z0-9._@=-]{0,127}$/;
/** Without a dot, so that no tenant's `a.role` is another tenant's `a` and a role of it. */
const TENANT = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** Vault folds case in aliases: what has upper case is hashed, so that `Dave` is never `dave`. */
const PLAIN_SUBJECT = /^[a-z0-9][a-z0-9._@=-]{0,127}$/;
const HASHED = /^h-[0-9a-f]{40}$/;

export interface Variables {
  readonly tenant: string;
  readonly subject: string;
  /** "" where the grant names none. */
  readonly role: string;
}

/**
 * A principal's name in Vault, equal only for the same issuer and subject: as it stands if the issuer is the plain one
 * and the subject fits, else `h-` and a hash of both.
 */
export function subjectName({ issuer, subject }: Principal, plainIssuer: string | null): string {
  if (issuer === plainIssuer && PLAIN_SUBJECT.test(subject) && !HASHED.test(subject)) return subject;
  return `h-${sha256(JSON.stringify([issuer, subject])).slice(0, 40)}`;
}

export function variablesOf(principal: Principal, role: string, plainIssuer: string | null): Variables {
  return { tenant: principal.tenant, subject: subjectName(principal, plainIssuer), role };
}

/**
 * Fills `{tenant}`, `{subject}` and `{role}` into a template of the configuration.
 * @throws PortcullisError `credential_refused` when a value is empty or could reach another path
 */
export function render(template: string, variables: Variables): string {
  return template.replace(/\{(tenant|subject|role)\}/g, (_, name: keyof Variables) => {
    const value = variables[name];
    if (!(name === "tenant" ? TENANT : VALUE).test(value)) {
      throw new PortcullisError("credential_refused", {
        reason: `the ${name} cannot stand in a path of vault`,
      });
    }
    return value;
  });
}
