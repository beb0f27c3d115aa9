export interface Ticket {
  readonly id: string;
  readonly subject: string;
  readonly customer: string;
  readonly status: "open" | "closed";
  readonly messages: readonly { readonly from: string; readonly text: string }[];
}

export interface Refund {
  readonly id: string;
  readonly ticket: string;
  readonly amount: number;
  readonly currency: string;
  readonly iban: string;
}

/** One tenant's tickets, in memory. What it cannot name it cannot reach. */
export interface TicketStore {
  list(status?: Ticket["status"]): readonly Ticket[];
  search(query: string): readonly Ticket[];
  get(id: string): Ticket | undefined;
  reply(id: string, from: string, text: string): Ticket | undefined;
  close(id: string): Ticket | undefined;
  refund(given: Omit<Refund, "id">): Refund | undefined;
}

export function createTicketStore(initial: readonly Ticket[]): TicketStore {
  const tickets = new Map(initial.map((ticket) => [ticket.id, ticket]));
  let refunds = 0;
  const all = () => [...tickets.values()];
  const change = (id: string, how: (ticket: Ticket) => Ticket): Ticket | undefined => {
    const ticket = tickets.get(id);
    if (ticket === undefined) return undefined;
    const changed = how(ticket);
    tickets.set(id, changed);
    return changed;
  };
  return {
    list: (status) => all().filter((ticket) => status === undefined || ticket.status === status),
    search: (query) => all().filter((ticket) => textOf(ticket).includes(query.toLowerCase())),
    get: (id) => tickets.get(id),
    reply: (id, from, text) =>
      change(id, (ticket) => ({ ...ticket, messages: [...ticket.messages, { from, text }] })),
    close: (id) => change(id, (ticket) => ({ ...ticket, status: "closed" })),
    refund(given) {
      if (!tickets.has(given.ticket)) return undefined;
      refunds += 1;
      return { id: `R-${refunds}`, ...given };
    },
  };
}

function textOf({ subject, customer, messages }: Ticket): string {
  return [subject, customer, ...messages.map(({ text }) => text)].join("\n").toLowerCase();
}

function ticket(
  id: string,
  customer: string,
  subject: string,
  text: string,
  status: Ticket["status"] = "open",
): Ticket {
  return { id, subject, customer, status, messages: [{ from: customer, text }] };
}

/** The sample data: two companies whose tickets have nothing to do with each other. */
export const SAMPLE_TICKETS: Readonly<Record<string, readonly Ticket[]>> = {
  acme: [
    ticket(
      "ACME-1",
      "Ines Duarte",
      "Anvil arrived cracked",
      "The anvil has a crack from horn to heel. I would like my 120 EUR back.",
    ),
    ticket(
      "ACME-2",
      "Tom Okafor",
      "Rocket skates: only one",
      "There is one skate in the box. The order says two.",
    ),
    ticket("ACME-3", "Mia Lindqvist", "Invoice in the wrong name", "Please put our company on the invoice."),
    ticket(
      "ACME-4",
      "Ravi Nair",
      "Paint that is a tunnel",
      "We drove through it. Asking for 480 EUR for the bumper.",
      "closed",
    ),
  ],
  globex: [
    ticket(
      "GLX-1",
      "Sara Haddad",
      "Weather machine hums",
      "A low hum, all night. A refund of 30 GBP would do.",
    ),
    ticket("GLX-2", "Paul Weiss", "Hammock delivery to the wrong gate", "It is at gate 4, we are at gate 7."),
    ticket("GLX-3", "Lin Zhao", "Volcano lease renewal", "Please send the terms for next year.", "closed"),
  ],
};
