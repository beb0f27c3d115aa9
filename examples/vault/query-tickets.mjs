// An MCP server as anyone writes one: PGUSER and PGPASSWORD are in its environment, and it knows nothing of Vault.
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import pg from "pg";
import { z } from "zod";

const database = new pg.Pool({ max: 1, connectionTimeoutMillis: 5000, application_name: "query-tickets" });
// The role and its connections end with the lease.
database.on("error", () => {});

const QUERY = `
SELECT id, subject, customer, status, current_user AS reader FROM tickets
WHERE ($1::text IS NULL OR status = $1) ORDER BY id LIMIT $2`;

serveStdio(() => {
  const server = new McpServer({ name: "tickets", title: "Tickets", version: "1.0.0" });
  server.registerTool(
    "query_tickets",
    {
      title: "Query tickets",
      description: "Reads your company's support tickets from its database, in the order of their ids.",
      inputSchema: z.object({
        status: z.enum(["open", "closed"]).optional().describe("Only tickets with this status."),
        limit: z.int().min(1).max(10_000).default(20).describe("At most so many."),
      }),
      outputSchema: z.object({
        database_user: z.string().describe("Whom the database took this reader for."),
        tickets: z.array(
          z.object({ id: z.string(), subject: z.string(), customer: z.string(), status: z.string() }),
        ),
      }),
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    async ({ status, limit }) => {
      const { rows } = await database.query(QUERY, [status ?? null, limit]);
      const tickets = rows.map(({ reader: _, ...ticket }) => ticket);
      const found = { database_user: rows[0]?.reader ?? "", tickets };
      return { content: [{ type: "text", text: JSON.stringify(found) }], structuredContent: found };
    },
  );
  return server;
});
