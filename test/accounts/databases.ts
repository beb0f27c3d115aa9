import { afterAll } from "vitest";
import { type Database, openEmbedded, openPostgres } from "../../src/accounts/database.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { startPostgres } from "../support/postgres.ts";

const closers: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** PostgreSQL in this process, in memory. */
export async function anEmbeddedDatabase(): Promise<Database> {
  const database = await openEmbedded("memory://");
  closers.push(database.close);
  return database;
}

/** A PostgreSQL server of its own. Gives its URL. */
export async function aPostgres(): Promise<string> {
  const server = await startPostgres();
  closers.push(server.close);
  return server.urlOf("postgres", server.password);
}

/** One replica's connections. */
export async function aConnection(url: string): Promise<Database> {
  const database = await openPostgres(new Secret(url), silentLog);
  closers.push(database.close);
  return database;
}

export async function aPostgresDatabase(): Promise<Database> {
  return aConnection(await aPostgres());
}
