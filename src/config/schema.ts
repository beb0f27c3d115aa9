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
import { name, type ToAbsolute } from "./values.ts";

/** The whole of portcullis.yaml. Each section owns its keys, defaults and checks. */
export function configSchema(absolute: ToAbsolute) {
  return z.strictObject({
    listen: listen.prefault({}),
    issuers: issuers.default([]),
    authorization_server: authorizationServer(absolute).optional(),
    local: local.optional(),
    upstreams: upstreams(absolute),
    servers,
    credentials: credentials(absolute).prefault({}),
    vaults: z.record(name, vault(absolute)).prefault({}),
    accounts: accounts(absolute).optional(),
    signing_key: secretRef(absolute)
      .optional()
      .describe("The gateway's own key: PKCS #8 in PEM, P-256 or Ed25519. Without: a new one at each start."),
    sessions: sessions(absolute).prefault({}),
    runs: runs.optional(),
    policies: policies(absolute),
    tenants: tenants(absolute),
    pins: pins(absolute),
    state: state(absolute),
    audit: audit(absolute),
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
