import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import type { LinkKey } from "./links.ts";
import { createSealed } from "./sealed.ts";

/** What a link page is for: an account of this user, asked for by their own agent. */
export interface Ticket extends LinkKey {
  readonly id: string;
}

export interface Tickets {
  /** `account_required`, with the URL of a page for a new ticket. `again`: there was a link, and the provider ended it. */
  required(key: LinkKey, again: boolean): PortcullisError;
  /** null: too old, or none of ours. */
  open(text: string): Ticket | null;
}

export interface TicketsOptions {
  readonly publicUrl: string;
  readonly master: Uint8Array;
  readonly titleOf: (account: string) => string;
  readonly clock: Clock;
}

const TICKET_MS = 600_000;

export function createTickets({ publicUrl, master, titleOf, clock }: TicketsOptions): Tickets {
  const sealed = createSealed<Ticket>(master, "ticket", clock);
  return {
    required(key, again) {
      const id = randomId();
      const url = `${publicUrl}/accounts/link/${sealed.close({ ...key, id }, TICKET_MS)}`;
      const title = titleOf(key.account);
      const message = again
        ? `The connection with ${title} has ended: connect the account again to go on.`
        : `Connect your ${title} account to go on.`;
      // UrlElicitationRequiredError (MCP 2025-11-25).
      const data = { elicitations: [{ mode: "url", elicitationId: id, url, message }] };
      return new PortcullisError("account_required", { text: message, data });
    },
    open: sealed.open,
  };
}
