import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { LinkView, Shredded } from "../accounts/accounts.ts";
import type { UnlinkAnswer } from "../compose/operator-accounts.ts";
import type { Config } from "../config/config.ts";
import type { UserKey } from "../domain.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { askOrTell, operatorOf } from "./gateway-client.ts";
import { loadOrTell } from "./load.ts";
import { columns, count, json, paintFor, printable, seconds } from "./print.ts";

export interface AccountsOptions extends CommonOptions {
  readonly arguments: readonly string[];
  readonly tenant?: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly reason?: string;
  /** Nobody is asked whether they mean it. */
  readonly yes?: boolean;
}

interface Given {
  readonly options: AccountsOptions & { readonly tenant: string };
  readonly config: Config;
  readonly around: Surroundings;
}

interface Verb {
  readonly usage: string;
  fits(options: AccountsOptions): boolean;
  run(given: Given): Promise<ExitCode>;
}

const VERBS: Readonly<Record<string, Verb>> = {
  list: {
    usage: "accounts list --tenant ID [--subject S]",
    fits: ({ arguments: all, issuer, reason, yes }) =>
      all.length === 1 && issuer === undefined && reason === undefined && yes === undefined,
    run: list,
  },
  unlink: {
    usage: "accounts unlink --tenant ID [--issuer URL] --subject S ACCOUNT [--reason TEXT]",
    fits: ({ arguments: all, subject, yes }) =>
      all.length === 2 && subject !== undefined && yes === undefined,
    run: unlink,
  },
  shred: {
    usage: "accounts shred --tenant ID [--yes] [--reason TEXT]",
    fits: ({ arguments: all, issuer, subject }) =>
      all.length === 1 && issuer === undefined && subject === undefined,
    run: shred,
  },
};

/** `portcullis accounts`: the accounts that users linked, for an operator. */
export async function accounts(options: AccountsOptions, around: Surroundings): Promise<ExitCode> {
  const [name = ""] = options.arguments;
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  const { tenant } = options;
  if (verb === undefined || tenant === undefined || !verb.fits(options)) {
    const usages = verb === undefined ? Object.values(VERBS) : [verb];
    around.stderr.write(usages.map(({ usage }) => `portcullis: ${usage}\n`).join(""));
    return 2;
  }
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  return verb.run({ options: { ...options, tenant }, config, around });
}

/** As JSON has it. */
type Linked = UserKey &
  Omit<LinkView, "linkedAt" | "refreshedAt"> &
  Record<"linkedAt" | "refreshedAt", string>;

/** 1: one has ended at its third party, so that its user has to link it again. */
async function list({ options, config, around }: Given): Promise<ExitCode> {
  const { tenant, subject } = options;
  const ask = { tenant, ...(subject !== undefined && { subject }) };
  const answer = await askOrTell(config, "accounts/list", ask, around);
  if (answer === undefined) return 2;
  const links = answer as unknown as readonly Linked[];
  const paint = paintFor(around);
  const rows = links.map((one) => [
    printable(one.subject),
    one.account,
    one.state === "linked" ? one.state : paint.red(one.state),
    `since ${seconds(Date.parse(one.linkedAt))}`,
    `refreshed ${seconds(Date.parse(one.refreshedAt))}`,
    one.issuer,
    printable(one.scopes.join(" ")),
  ]);
  around.stdout.write(options.json ? json({ accounts: links }) : columns(rows));
  return links.every(({ state }) => state === "linked") ? 0 : 1;
}

/** 1: there is no such link, or the third party could not be told. */
async function unlink({ options, config, around }: Given): Promise<ExitCode> {
  const { tenant, issuer = "", subject = "", reason = "", arguments: all } = options;
  const [, account = ""] = all;
  const ask = { tenant, issuer, subject, account, reason, by: operatorOf(around) };
  const answer = await askOrTell(config, "accounts/unlink", ask, around);
  if (answer === undefined) return 2;
  const gone = answer as unknown as UnlinkAnswer;
  const whose = `${account} of ${subject} at ${tenant}`;
  if (options.json) around.stdout.write(json({ tenant, subject, account, ...gone }));
  else if (!gone.found)
    around.stdout.write(`not linked: ${whose}${gone.hint === "" ? "" : `, ${gone.hint}`}\n`);
  else around.stdout.write(`unlinked: ${whose}\n${gone.revoked ? "" : NOT_TOLD}`);
  return gone.found && gone.revoked ? 0 : 1;
}

const NOT_TOLD = "the third party could not be told: its user has to remove the access there, too\n";

async function shred({ options, config, around }: Given): Promise<ExitCode> {
  const { tenant, reason = "" } = options;
  const configured = config.accounts?.transit === undefined ? "database" : "vault";
  if (options.yes !== true && !(await isMeant(tenant, configured, around))) {
    around.stderr.write("portcullis: nothing was shredded: type the tenant's id, or give --yes\n");
    return 2;
  }
  const ask = { tenant, reason, by: operatorOf(around) };
  const answer = await askOrTell(config, "accounts/shred", ask, around);
  if (answer === undefined) return 2;
  const { links, keeper } = answer as unknown as Shredded;
  if (options.json) around.stdout.write(json({ tenant, links, keeper }));
  else {
    around.stdout.write(`shredded: the key of ${tenant}\n`);
    around.stdout.write(
      `${count(links, "connected account")} can no longer be read here\n${BACKUPS[keeper]}\n`,
    );
    around.stdout.write("third parties were not told: what they granted ends there, or by itself\n");
  }
  return 0;
}

/** What of a shredded tenant can still be read, and with what. */
const BACKUPS: Readonly<Record<Shredded["keeper"], string>> = {
  database:
    "still readable: backups and log archives of the database from before, by whoever has accounts.master_key",
  vault: "backups of the database cannot be read either; those of Vault from before still hold the key",
};

/** Who means it can say which: a habit of pressing return, or a script, cannot. */
async function isMeant(
  tenant: string,
  keeper: Shredded["keeper"],
  { stdin, stderr }: Surroundings,
): Promise<boolean> {
  if (stdin.isTTY !== true) return false;
  stderr.write(
    `This destroys the key of "${tenant}": its connected accounts can never be read again here;\n`,
  );
  stderr.write(`${BACKUPS[keeper]}.\n`);
  stderr.write("Type the tenant's id to go on: ");
  return (await lineFrom(stdin)).trim() === tenant;
}

/** "": it ended without one. */
function lineFrom(input: Readable): Promise<string> {
  return new Promise((resolve) => {
    const lines = createInterface({ input });
    lines.once("close", () => resolve(""));
    lines.once("line", (line) => {
      resolve(line);
      // The process cannot end while it listens.
      lines.close();
    });
  });
}
