import { join } from "node:path";
import { type Accounts, createAccounts } from "../accounts/accounts.ts";
import { type Database, openEmbedded, openPostgres } from "../accounts/database.ts";
import type { SignInIssuer } from "../accounts/sign-in.ts";
import type { TenantKeys } from "../accounts/tenant-keys.ts";
import { createTransitKeys } from "../accounts/transit-keys.ts";
import type { Config } from "../config/config.ts";
import { resolveSecret, resolveSecrets } from "../config/secret.ts";
import { openVaultKeeper } from "../credential/vault/keeper.ts";
import type { DecisionLog } from "../domain.ts";
import type { Elicitations } from "../gate/elicitations.ts";
import type { Mount } from "../http/http.ts";
import { createClaims } from "../identity/claims.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import type { Ground } from "./ground.ts";
import { secretsOf } from "./secrets.ts";
import type { Sharing } from "./sharing.ts";
import { admitToPages } from "./suspensions.ts";
import { vaultsOf } from "./vaults.ts";

type Section = NonNullable<Config["accounts"]>;

/** Links that ended: of one user or all of a tenant's; with one account, or with all. */
export interface EndedLinks {
  readonly tenant: string;
  readonly user: { readonly issuer: string; readonly subject: string } | null;
  readonly account: string | null;
  /** Another one took its place. */
  readonly replaced: boolean;
}

/** Connected accounts, and what other rooms are told of them, at every replica. */
export interface LinkedAccounts extends Accounts {
  onLinkEnd(listener: (ended: EndedLinks) => void): void;
  /** Calls back at the replica where the user linked, with the elicitation that asked for it. */
  onLink(listener: (elicitation: string) => void): void;
}

/** The gateway as a client of the embedded authorization server. */
const SIGN_IN_CLIENT = "portcullis-accounts";
const ENDED = "account link ended";

/** What the embedded authorization server has to know of the pages: nothing where there are none. */
export function signInAt({ accounts, listen }: Pick<Config, "accounts" | "listen">) {
  if (accounts === undefined) return { resources: [], clients: [] };
  const { public_url: url } = listen;
  const client = {
    client_id: SIGN_IN_CLIENT,
    client_name: "Connected accounts",
    redirect_uris: [`${url}/accounts/sign-in/callback`],
  };
  return { resources: [`${url}/accounts`], clients: [client] };
}

/** null: none are configured. */
export async function openAccounts(
  ground: Ground,
  parts: Pick<Sharing, "store" | "replicas"> & {
    readonly embedded: { readonly issuer: string } | null;
    readonly suspensions: Pick<Suspensions, "admit">;
    readonly decisions: Pick<DecisionLog, "newId" | "decision">;
  },
): Promise<LinkedAccounts | null> {
  const { config, clock, log, closing } = ground;
  const { store, replicas, embedded, suspensions, decisions } = parts;
  const { accounts: section } = config;
  if (section === undefined) return null;
  const ended = new Set<(ended: EndedLinks) => void>();
  const linked = new Set<(elicitation: string) => void>();
  const secrets = secretsOf(ground);
  const database = closing.add(await openDatabase(section, ground), (opened) => opened.close());
  const tenantKeys = await transitKeys(section, ground);
  const accounts = await createAccounts({
    publicUrl: config.listen.public_url,
    providers: await resolveSecrets(section.providers, secrets),
    signIn: [...(await signInIssuers(section, ground)), ...embeddedSignIn(config, embedded)],
    masterKey: await resolveSecret(section.master_key, secrets),
    database,
    ...(tenantKeys !== null && { tenantKeys }),
    store,
    admit: admitToPages(suspensions, decisions, clock),
    onChange(change) {
      const { tenant, issuer, subject, account } = change;
      const replaced = change.what === "linked" && change.replaced;
      // First: whoever hears that it is linked calls again.
      if (change.what === "unlinked" || replaced) tell({ tenant, issuer, subject, account, replaced });
      if (change.what === "linked") for (const listener of linked) listener(change.elicitation);
    },
    fetch,
    clock,
    log,
  });
  closing.add(accounts, (opened) => opened.close());

  /** Here at once, whether the others can be told or not. */
  function tell(whose: JsonObject): void {
    hear(whose);
    replicas.broadcast(ENDED, whose).catch((err: unknown) => log.warn({ err }, "replicas were not told"));
  }
  function hear({
    tenant,
    issuer = null,
    subject = null,
    account = null,
    replaced = false,
  }: JsonObject): void {
    const user = issuer === null ? null : { issuer: String(issuer), subject: String(subject) };
    const links: EndedLinks = {
      tenant: String(tenant),
      user,
      account: account === null ? null : String(account),
      replaced: replaced === true,
    };
    for (const listener of ended) listener(links);
  }
  replicas.onMessage(ENDED, (whose, from) => {
    if (from !== replicas.node) hear(whose);
  });

  return {
    ...accounts,
    async shred(tenant) {
      try {
        return await accounts.shred(tenant);
      } finally {
        // Also where it failed half-way: the key may be gone.
        tell({ tenant });
      }
    },
    onLinkEnd: (listener) => void ended.add(listener),
    onLink: (listener) => void linked.add(listener),
  };
}

/** Agents who wait for their user to link an account. */
export function tellWhoWaits(
  accounts: Pick<LinkedAccounts, "onLink"> | null,
  { complete }: Pick<Elicitations, "complete">,
  log: Log,
): void {
  accounts?.onLink((elicitation) => {
    complete(elicitation).catch((err: unknown) =>
      log.warn({ err }, "nobody was told that an account is linked"),
    );
  });
}

/** The pages under `/accounts`. */
export function accountsMount(accounts: Accounts): Mount {
  return {
    path: "/",
    handler(request, response, next) {
      const path = (request.url ?? "").split("?", 1)[0] ?? "";
      if (accounts.handles(path)) accounts.handle(request, response);
      else next();
    },
  };
}

async function openDatabase({ store }: Section, ground: Ground): Promise<Database> {
  if (store === undefined) return openEmbedded(join(ground.config.state.path, "accounts"));
  return openPostgres(await resolveSecret(store.url, secretsOf(ground)), ground.log);
}

async function transitKeys({ transit }: Section, ground: Ground): Promise<TenantKeys | null> {
  if (transit === undefined) return null;
  const vault = (await vaultsOf(ground))[transit.vault];
  if (vault === undefined) throw new PortcullisError("internal", { reason: `no vault "${transit.vault}"` });
  const keeper = ground.closing.add(await openVaultKeeper(vault, ground.clock), (opened) => opened.close());
  return createTransitKeys(keeper, transit.mount);
}

/** Users sign in at the issuers of their tokens, and are of the tenant that configuration reads there. */
async function signInIssuers(section: Section, ground: Ground): Promise<SignInIssuer[]> {
  const resolved = await resolveSecrets(section.sign_in, secretsOf(ground));
  return resolved.map(({ issuer = "", ...client }) => {
    const known = ground.config.issuers.find((one) => one.issuer === issuer);
    return { ...client, issuer, tenantOf: (claims) => (known ? tenantIn(known.tenant, claims) : null) };
  });
}

function tenantIn(
  tenant: Config["issuers"][number]["tenant"],
  claims: Readonly<Record<string, unknown>>,
): string | null {
  if ("fixed" in tenant) return tenant.fixed;
  try {
    return createClaims(claims as JsonObject).text(tenant.claim) || null;
  } catch {
    return null;
  }
}

function embeddedSignIn(config: Config, embedded: { readonly issuer: string } | null): SignInIssuer[] {
  if (embedded === null) return [];
  const [resource = ""] = signInAt(config).resources;
  return [
    {
      issuer: embedded.issuer,
      client_id: SIGN_IN_CLIENT,
      scopes: ["openid"],
      parameters: { resource },
      tenantOf: (claims) => tenantIn({ claim: "tenant" }, claims),
    },
  ];
}
