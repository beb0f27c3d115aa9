import type { UserKey } from "../domain.ts";
import type { Database, Row } from "./database.ts";

/** Whose link it is, and the account's name in the configuration. */
export interface LinkKey extends UserKey {
  readonly account: string;
}

export interface Link {
  readonly account: string;
  /** The tokens as the tenant's key sealed them; null: the provider has ended the link. */
  readonly sealed: string | null;
  /** Granted, as the provider writes them. */
  readonly scopes: string;
  /** Grows with each change. */
  readonly version: number;
  readonly linkedAt: Date;
  readonly refreshedAt: Date;
}

/** The links, one row each. No connection is held while a provider thinks: a refresh is a claim on the row for a while. */
export interface Links {
  find(key: LinkKey): Promise<Link | undefined>;
  /** By account. */
  of(user: UserKey): Promise<readonly Link[]>;
  /** By user and account; `subject` undefined: all of the tenant's. */
  inTenant(tenant: string, subject: string | undefined): Promise<readonly (UserKey & Link)[]>;
  /** A new link, or in place of the old one: whether there was one. */
  put(key: LinkKey, sealed: string, scopes: string, now: Date): Promise<{ readonly replaced: boolean }>;
  /** Takes the row for its refresh, if it still has this version and nobody else has it. */
  claim(key: LinkKey, version: number, holder: string): Promise<boolean>;
  /** What the holder of the claim has to say, which ends it; false: the link is no longer the one that was claimed. */
  settle(
    key: LinkKey,
    holder: string,
    change: { readonly sealed: string | null; readonly scopes: string; readonly now: Date },
  ): Promise<boolean>;
  /** Ends the claim, the row as it was. */
  release(key: LinkKey, holder: string): Promise<void>;
  /** What was deleted. */
  remove(key: LinkKey): Promise<Link | undefined>;
  removeTenant(tenant: string): Promise<number>;
}

/** Longer than a refresh may take: a claim that outlives it is a crashed replica's. */
const CLAIM_MS = 60_000;

const LOCK = 7_243_015;
const SCHEMA = `
SELECT pg_advisory_xact_lock(${LOCK});
CREATE TABLE IF NOT EXISTS portcullis_account_links (
  tenant text NOT NULL,
  issuer text NOT NULL,
  subject text NOT NULL,
  account text NOT NULL,
  sealed text,
  scopes text NOT NULL,
  version integer NOT NULL,
  linked_at timestamptz NOT NULL,
  refreshed_at timestamptz NOT NULL,
  claimed_by text,
  claimed_until timestamptz,
  PRIMARY KEY (tenant, issuer, subject, account)
);
CREATE TABLE IF NOT EXISTS portcullis_tenant_keys (
  tenant text PRIMARY KEY,
  wrapped text NOT NULL,
  created_at timestamptz NOT NULL
);
`;

/** Makes the tables, if they are not there. */
export function prepare(database: Database): Promise<void> {
  return database.script(SCHEMA);
}

const KEY = "tenant = $1 AND issuer = $2 AND subject = $3 AND account = $4";

export function createLinks({ query }: Pick<Database, "query">): Links {
  return {
    async find(key) {
      const [row] = await query(`SELECT * FROM portcullis_account_links WHERE ${KEY}`, of(key));
      return row && linkOf(row);
    },
    async of({ tenant, issuer, subject }) {
      const sql =
        "SELECT * FROM portcullis_account_links WHERE tenant = $1 AND issuer = $2 AND subject = $3 ORDER BY account";
      return (await query(sql, [tenant, issuer, subject])).map(linkOf);
    },
    async inTenant(tenant, subject) {
      const sql = `SELECT * FROM portcullis_account_links WHERE tenant = $1 AND ($2::text IS NULL OR subject = $2)
        ORDER BY subject, issuer, account`;
      const rows = await query(sql, [tenant, subject ?? null]);
      return rows.map((row) => ({
        ...{ tenant, issuer: String(row.issuer), subject: String(row.subject) },
        ...linkOf(row),
      }));
    },
    async put(key, sealed, scopes, now) {
      const sql = `INSERT INTO portcullis_account_links AS old
        (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)
        ON CONFLICT (tenant, issuer, subject, account) DO UPDATE SET
        sealed = $5, scopes = $6, version = old.version + 1, linked_at = $7, refreshed_at = $7,
        claimed_by = NULL, claimed_until = NULL
        RETURNING version`;
      const [row] = await query(sql, [...of(key), sealed, scopes, now]);
      return { replaced: Number(row?.version) > 1 };
    },
    async claim(key, version, holder) {
      const sql = `UPDATE portcullis_account_links
        SET claimed_by = $6, claimed_until = now() + interval '${CLAIM_MS} milliseconds'
        WHERE ${KEY} AND version = $5 AND (claimed_until IS NULL OR claimed_until < now()) RETURNING account`;
      return (await query(sql, [...of(key), version, holder])).length === 1;
    },
    async settle(key, holder, { sealed, scopes, now }) {
      const sql = `UPDATE portcullis_account_links
        SET sealed = $6, scopes = $7, refreshed_at = $8, version = version + 1, claimed_by = NULL, claimed_until = NULL
        WHERE ${KEY} AND claimed_by = $5 RETURNING account`;
      return (await query(sql, [...of(key), holder, sealed, scopes, now])).length === 1;
    },
    async release(key, holder) {
      const sql = `UPDATE portcullis_account_links SET claimed_by = NULL, claimed_until = NULL
        WHERE ${KEY} AND claimed_by = $5`;
      await query(sql, [...of(key), holder]);
    },
    async remove(key) {
      const [row] = await query(`DELETE FROM portcullis_account_links WHERE ${KEY} RETURNING *`, of(key));
      return row && linkOf(row);
    },
    async removeTenant(tenant) {
      const sql = "DELETE FROM portcullis_account_links WHERE tenant = $1 RETURNING account";
      return (await query(sql, [tenant])).length;
    },
  };
}

function of({ tenant, issuer, subject, account }: LinkKey): string[] {
  return [tenant, issuer, subject, account];
}

function linkOf({ account, sealed, scopes, version, linked_at, refreshed_at }: Row): Link {
  return {
    account: String(account),
    sealed: typeof sealed === "string" ? sealed : null,
    scopes: String(scopes),
    version: Number(version),
    linkedAt: linked_at as Date,
    refreshedAt: refreshed_at as Date,
  };
}
