import { setTimeout as wait } from "node:timers/promises";
import { type CallToolResult, McpServer, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import type { Caller } from "./assertion.ts";
import type { Ticket, TicketStore } from "./tickets.ts";

const READS = { readOnlyHint: true, openWorldHint: false };
const WRITES = { readOnlyHint: false, destructiveHint: false, openWorldHint: false };
const ENDS = { readOnlyHint: false, destructiveHint: true, openWorldHint: false };

const ticketId = z.string().max(32).describe("The ticket's id, such as ACME-1.");
const summary = z.object({
  id: z.string(),
  subject: z.string(),
  customer: z.string(),
  status: z.enum(["open", "closed"]),
});
const whole = summary.extend({ messages: z.array(z.object({ from: z.string(), text: z.string() })) });
const summaries = z.object({ tickets: z.array(summary) });
const refundDone = z.object({
  id: z.string(),
  ticket: z.string(),
  amount: z.number(),
  currency: z.string(),
  iban: z.string(),
});

export interface DeskOptions {
  readonly caller: Caller;
  readonly tickets: TicketStore;
  /** Milliseconds between the steps of an export. */
  readonly stepMs: number;
}

/** A server for one caller: it holds no other tenant's tickets. */
export function createDesk({ caller, tickets, stepMs }: DeskOptions): McpServer {
  const server = new McpServer({ name: "support-desk", title: "Support desk", version: "1.0.0" });
  addReading(server, tickets);
  addAnswering(server, tickets, caller);
  addRefund(server, tickets, caller);
  addExport(server, tickets, stepMs);
  return server;
}

function addReading(server: McpServer, tickets: TicketStore): void {
  server.registerTool(
    "list_tickets",
    {
      title: "List tickets",
      description:
        "Lists the support tickets of your company, newest last. Start here to find a ticket's id.",
      inputSchema: z.object({
        status: z.enum(["open", "closed"]).optional().describe("Only tickets with this status."),
      }),
      outputSchema: summaries,
      annotations: READS,
    },
    ({ status }) => answer({ tickets: tickets.list(status).map(summarised) }),
  );
  server.registerTool(
    "search_tickets",
    {
      title: "Search tickets",
      description:
        "Finds tickets whose subject, customer or messages contain some words, without regard to case.",
      inputSchema: z.object({ query: z.string().min(1).max(200).describe("The words to look for.") }),
      outputSchema: summaries,
      annotations: READS,
    },
    ({ query }) => answer({ tickets: tickets.search(query).map(summarised) }),
  );
  server.registerTool(
    "get_ticket",
    {
      title: "Read a ticket",
      description: "Reads one ticket with all its messages.",
      inputSchema: z.object({ ticket: ticketId }),
      outputSchema: whole,
      annotations: READS,
    },
    ({ ticket }) => answer(tickets.get(ticket) ?? unknown(ticket)),
  );
}

function addAnswering(server: McpServer, tickets: TicketStore, caller: Caller): void {
  const mayAnswer = ["agent", "refunder"].includes(caller.role);
  server.registerTool(
    "reply_ticket",
    {
      title: "Reply to a customer",
      description:
        "Sends a reply to the customer of a ticket. The customer reads it at once, and it cannot be taken back.",
      inputSchema: z.object({
        ticket: ticketId,
        text: z.string().min(1).max(4000).describe("What the customer reads."),
      }),
      outputSchema: whole,
      annotations: WRITES,
    },
    ({ ticket, text }) =>
      answer(
        mayAnswer
          ? (tickets.reply(ticket, caller.subject, text) ?? unknown(ticket))
          : refused("agent", caller),
      ),
  );
  server.registerTool(
    "close_ticket",
    {
      title: "Close a ticket",
      description:
        "Closes a ticket that is settled. It can be read afterwards, but customers can no longer answer.",
      inputSchema: z.object({ ticket: ticketId }),
      outputSchema: whole,
      annotations: ENDS,
    },
    ({ ticket }) => answer(mayAnswer ? (tickets.close(ticket) ?? unknown(ticket)) : refused("agent", caller)),
  );
}

function addRefund(server: McpServer, tickets: TicketStore, caller: Caller): void {
  server.registerTool(
    "refund",
    {
      title: "Refund a customer",
      description: "Pays money back to a customer's bank account. The money leaves at once.",
      inputSchema: z.object({
        ticket: ticketId.describe("The ticket that the refund settles."),
        amount: z.number().positive().describe("In units of the currency, such as 12.50."),
        currency: z.enum(["EUR", "GBP", "USD"]).describe("ISO 4217."),
        iban: z
          .string()
          .regex(/^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$/)
          .describe("The account to pay to, without spaces."),
      }),
      outputSchema: refundDone,
      annotations: ENDS,
    },
    (refund) =>
      answer(
        caller.role === "refunder"
          ? (tickets.refund(refund) ?? unknown(refund.ticket))
          : refused("refunder", caller),
      ),
  );
}

const STEPS = 10;

function addExport(server: McpServer, tickets: TicketStore, stepMs: number): void {
  server.registerTool(
    "export_tickets",
    {
      title: "Export tickets",
      description:
        "Writes all tickets into one text, which takes a while: it reports progress and can be cancelled.",
      inputSchema: z.object({
        format: z.enum(["csv", "jsonl"]).default("csv").describe("How each ticket is written."),
      }),
      outputSchema: z.object({ text: z.string(), count: z.int() }),
      annotations: READS,
    },
    async ({ format }, context) => {
      for (let step = 1; step <= STEPS; step++) {
        await wait(stepMs, undefined, { signal: context.mcpReq.signal });
        await reportProgress(context, step);
      }
      const all = tickets.list();
      return answer({ text: all.map((ticket) => exported(ticket, format)).join("\n"), count: all.length });
    },
  );
}

async function reportProgress({ mcpReq }: ServerContext, progress: number): Promise<void> {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  const message = `step ${progress} of ${STEPS}`;
  await mcpReq.notify({
    method: "notifications/progress",
    params: { progressToken, progress, total: STEPS, message },
  });
}

function exported(ticket: Ticket, format: "csv" | "jsonl"): string {
  const { id, status, customer, subject } = ticket;
  if (format === "jsonl") return JSON.stringify(summarised(ticket));
  return [id, status, customer, subject].map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",");
}

function summarised({ id, subject, customer, status }: Ticket): z.output<typeof summary> {
  return { id, subject, customer, status };
}

class Refusal {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Another company's ticket is as unknown as one that never was. */
function unknown(ticket: string): Refusal {
  return new Refusal(`There is no ticket ${ticket}.`);
}

function refused(role: string, caller: Caller): Refusal {
  return new Refusal(`This needs the role "${role}"; the assertion says "${caller.role}".`);
}

function answer(result: Refusal | object): CallToolResult {
  if (result instanceof Refusal) return { isError: true, content: [{ type: "text", text: result.text }] };
  return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: { ...result } };
}
