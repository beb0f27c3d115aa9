import { z } from "zod";
import type { JsonObject } from "../lib/json.ts";
import { secretRef } from "./secret.ts";
import { accounts } from "./sections/accounts.ts";
import { authorizationServer } from "./sections/authorization-server.ts";
import { credentials } from "./sections/credentials.ts";
import { issuers } from "./sections/issuers.ts";
import { listen } from "./sections/listen.ts";
import { local } from "./sections/local.ts";
import { audit, limits, log, pins, policies, state } from "./sections/operation.ts";
import { runs } from "./sections/runs.ts";
import { servers } from "./sections/servers.ts";
import { sessions } from "./sections/sessions.ts";
import { tenants } from "./sections/tenants.ts";
import { upstreams } from "./sections/upstreams.ts";
import { vault } from "./sections/vaults.ts";
import { name, type Place } from "./values.ts";

/** The whole of portcullis.yaml. Each section owns its keys, defaults and checks. */
export function configSchema(place: Place) {
  return z.strictObject({
    listen: listen.prefault({}),
    issuers: issuers.default([]),
    authorization_server: authorizationServer(place).optional(),
    local: local.optional(),
    upstreams: upstreams(place),
    servers,
    credentials: credentials(place).prefault({}),
    vaults: z.record(name, vault(place)).prefault({}),
    accounts: accounts(place).optional(),
    signing_key: secretRef(place)
      .optional()
      .describe("The gateway's own key: PKCS #8 in PEM, P-256 or Ed25519. Without: a new one at each start."),
    sessions: sessions(place).prefault({}),
    runs: runs.optional(),
    policies: policies(place),
    tenants: tenants(place),
    pins: pins(place),
    state: state(place),
    audit: audit(place),
    limits,
    log,
  });
}

export type ParsedConfig = z.output<ReturnType<typeof configSchema>>;

/** The JSON Schema of portcullis.yaml, for editors. */
export function configJsonSchema(): JsonObject {
  const schema = z.toJSONSchema(configSchema(String), { io: "input" });
  return { ...JSON.parse(JSON.stringify(schema)), title: "portcullis.yaml" } as JsonObject;
}
