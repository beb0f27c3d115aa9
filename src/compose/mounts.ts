import type { IncomingMessage } from "node:http";
import type { Accounts } from "../accounts/accounts.ts";
import type { AuthorizationServer } from "../authorization-server/server.ts";
import type { Config } from "../config/config.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { DecisionEntry, DecisionInputs } from "../domain.ts";
import type { Rooms } from "../gate/rooms.ts";
import type { Handler, Mount } from "../http/http.ts";
import type { IdentityStage } from "../identity/identity.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Runs } from "../runs/runs.ts";
import { accountsMount } from "./accounts.ts";
import { RUNS, runsMount } from "./runs.ts";

/** Where upstreams find the keys of the gateway's own assertions. */
const JWKS_PATH = "/.well-known/portcullis/jwks.json";
const RESOURCE_METADATA = "/.well-known/oauth-protected-resource";

/** The routes beside the guarded URLs: token metadata, our keys, the embedded authorization server. */
export function mountsOf(parts: {
  readonly config: Config;
  readonly identity: IdentityStage;
  readonly credentials: Credentials;
  readonly embedded: AuthorizationServer | null;
  readonly runs: Runs | null;
  readonly accounts: Accounts | null;
  readonly rooms: Pick<Rooms, "decisions" | "refusals" | "admission" | "mayUse" | "clock" | "log">;
}): readonly Mount[] {
  const { config, identity, credentials, embedded, runs, accounts, rooms } = parts;
  const names = Object.keys(config.servers);
  const [only] = names;
  const resourceMetadata: Handler = (request, response, next) => {
    const path = request.url ?? "";
    if (runs !== null && path === RUNS) return sendDocument(response, identity.metadata(RUNS));
    const name =
      names.find((one) => path === `/mcp/${one}`) ?? (path === "/" && names.length === 1 ? only : undefined);
    if (name === undefined) next();
    else sendDocument(response, identity.metadata(name));
  };
  const mounts: Mount[] = [
    { path: RESOURCE_METADATA, handler: resourceMetadata },
    { path: JWKS_PATH, handler: (_, response) => sendDocument(response, credentials.jwks()) },
  ];
  if (runs !== null) {
    const { decisions, refusals, admission, mayUse, clock, log } = rooms;
    const records = {
      decision: (entry: DecisionEntry, inputs: DecisionInputs) =>
        decisions.decision(decisions.newId(), entry, inputs),
      refused: (entry: DecisionEntry) => refusals.refuse(entry),
    };
    mounts.push(runsMount({ config, runs, identity, records, admit: admission.check, mayUse, clock, log }));
  }
  if (accounts !== null) mounts.push(accountsMount(accounts));
  if (embedded !== null) mounts.push(embeddedMount(embedded));
  return mounts;
}

function embeddedMount(embedded: AuthorizationServer): Mount {
  return {
    path: "/",
    handler(request: IncomingMessage & { originalUrl?: string }, response, next) {
      const path = (request.originalUrl ?? "").split("?", 1)[0] ?? "";
      if (embedded.handles(path)) embedded.handler(request, response);
      else next();
    },
  };
}

/** Public documents: clients in a browser read them too. */
function sendDocument(response: Parameters<Handler>[1], document: JsonObject): void {
  response.setHeader("content-type", "application/json");
  response.setHeader("access-control-allow-origin", "*");
  response.end(JSON.stringify(document));
}
