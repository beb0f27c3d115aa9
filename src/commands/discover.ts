import { type CatalogStatus, createCatalog } from "../catalog/catalog.ts";
import type { PinStore } from "../catalog/pins.ts";
import { labelsFrom } from "../compose/labels.ts";
import { secretsOf } from "../compose/secrets.ts";
import { openTenancy } from "../compose/tenancy.ts";
import { openUpstreams } from "../compose/upstreams.ts";
import { vaultsOf } from "../compose/vaults.ts";
import type { Config } from "../config/config.ts";
import { resolveSecrets } from "../config/secret.ts";
import { createCredentials } from "../credential/credentials.ts";
import { systemClock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";

const START_MS = 20_000;

/** Users have accounts, the gateway has none. */
const NO_ACCOUNTS = {
  accessToken: () => Promise.reject(new PortcullisError("credential_refused", { reason: "whose account?" })),
};

/** Asks every upstream once what it offers, pins what is new, and says what became of it. */
export async function discover(parts: {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pins: PinStore;
  readonly log: Log;
}): Promise<CatalogStatus> {
  const { config, env, pins, log } = parts;
  const clock = systemClock;
  const tenancy = await openTenancy(config);
  const credentials = await createCredentials({
    sources: await resolveSecrets(config.credentials, secretsOf({ env })),
    tenants: tenancy.credentialsOf,
    publicUrl: config.listen.public_url,
    signingKey: null,
    vaults: await vaultsOf({ config, env }),
    accounts: NO_ACCOUNTS,
    capacity: 100,
    clock,
    log,
  });
  const clientInfo = { name: "portcullis", version: "pin" };
  const upstreams = await openUpstreams({
    shared: null,
    share: (max) => max,
    config,
    env,
    credentials,
    clientInfo,
    log,
    clock,
  });
  const catalog = createCatalog({
    servers: { all: Object.keys(config.upstreams) },
    upstreams,
    labels: labelsFrom(config),
    pins,
    log,
    refreshMs: START_MS,
    startMs: START_MS,
  });
  try {
    await catalog.start();
    return catalog.status();
  } finally {
    catalog.close();
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    await credentials.close();
  }
}
