import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";

export type Row = Readonly<Record<string, unknown>>;

/** PostgreSQL, as a server or embedded: the same SQL. Rejects with `account_unavailable`; no cause, it may show values. */
export interface Database {
  /** One statement; `$1` and on are bound, never spliced in. */
  query(sql: string, parameters: readonly (string | number | Date | null)[]): Promise<readonly Row[]>;
  /** Several statements without parameters, in one transaction. */
  script(sql: string): Promise<void>;
  /**
   * Clears from the files of an embedded database what was deleted from this table, which stops the process for a
   * second or so. A server vacuums, and recycles its write-ahead log, by its own operator's rules.
   */
  scrub(table: string): Promise<void>;
  close(): Promise<void>;
}

const CONNECT_MS = 5_000;
const STATEMENT_MS = 10_000;
const CONNECTIONS = 8;

/** A PostgreSQL server, by its URL. Connects when first asked. */
export async function openPostgres(url: Secret, log: Log): Promise<Database> {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({
    connectionString: url.reveal(),
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: STATEMENT_MS,
    statement_timeout: STATEMENT_MS,
    application_name: "portcullis",
  });
  // Without a listener an idle connection that breaks would end the process.
  pool.on("error", (error: Error & { code?: string }) =>
    log.warn({ code: error.code }, "a connection to the accounts' database broke"),
  );
  return guarded({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    script: async (sql) => void (await pool.query(sql)),
    scrub: async () => {},
    close: () => pool.end(),
  });
}

/** PostgreSQL within this process, its files in this folder, for a single gateway; takes seconds to open. */
export async function openEmbedded(folder: string): Promise<Database> {
  const { PGlite } = await import("@electric-sql/pglite");
  const database = await unavailable(PGlite.create(folder));
  return guarded({
    query: async (sql, parameters) => (await database.query<Row>(sql, [...parameters])).rows,
    script: async (sql) => void (await database.transaction((within) => within.exec(sql))),
    async scrub(table) {
      // The table anew without its dead rows, the write-ahead log begun anew, and its old files deleted, not reused.
      const steps = ["SET wal_recycle = off", `VACUUM FULL ${table}`, "SELECT pg_switch_wal()", "CHECKPOINT"];
      for (const step of steps) await database.exec(step);
    },
    close: () => database.close(),
  });
}

function guarded({ query, script, scrub, close }: Database): Database {
  return {
    query: (sql, parameters) => unavailable(query(sql, parameters)),
    script: (sql) => unavailable(script(sql)),
    scrub: (table) => unavailable(scrub(table)),
    close,
  };
}

/** What a driver throws may hold the connection's password or a row's values: only its class and code are kept. */
async function unavailable<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (thrown) {
    const { name, code } = thrown instanceof Error ? (thrown as Error & { code?: unknown }) : {};
    const what = typeof code === "string" ? code : (name ?? "failed");
    throw new PortcullisError("account_unavailable", { reason: `the accounts' database: ${what}` });
  }
}
