import type { VaultOptions } from "node-vault";
import { isJsonObject, type JsonObject } from "../../lib/json.ts";
import type { Secret } from "../../lib/secret.ts";
import { faultOf, malformed, type Wire } from "./faults.ts";
import { createTransport, type WireRequest } from "./transport.ts";

/** On whose behalf, and for which decision, one request is made. */
export interface VaultCall {
  /** null: none, as for a login. */
  readonly token: Secret | null;
  /** "" for none. */
  readonly namespace: string;
  /** Stands in Vault's audit log too, where that is told to keep it; "" for none. */
  readonly decisionId: string;
  readonly timeoutMs: number;
}

/** Vault's envelope, its parts checked for type; `data` and `auth` still hold secrets in the clear. */
export interface VaultAnswer {
  /** The same as in Vault's audit log. */
  readonly requestId: string;
  /** "" where nothing was leased. A secret of its own: whoever may revoke needs only this. */
  readonly leaseId: string;
  /** Seconds. */
  readonly leaseDuration: number;
  readonly renewable: boolean;
  readonly data: JsonObject;
  readonly auth: JsonObject;
}

/** One Vault or OpenBao server. It holds no identity: each call brings its own. */
export interface VaultClient {
  /** @throws PortcullisError `vault_*`, without a cause */
  read(path: string, call: VaultCall): Promise<VaultAnswer>;
  write(path: string, data: JsonObject, call: VaultCall): Promise<VaultAnswer>;
  delete(path: string, call: VaultCall): Promise<void>;
  close(): Promise<void>;
}

/** What is used of node-vault, which types neither its transport nor its own state. */
interface NodeVaultClient {
  token: string;
  namespace: string;
  handleVaultResponse(wire: Wire): unknown;
  read(path: string, options: object): Promise<unknown>;
  write(path: string, data: object, options: object): Promise<unknown>;
  delete(path: string, options: object): Promise<unknown>;
}

/**
 * node-vault with a transport and errors of our own. Its token is per client and replaced behind one's back, its
 * errors show token and body, it follows redirects and takes a lease's 202 for a failure.
 * @param ca PEM, beside none of the system's; null: the system's
 */
export async function openVaultClient({
  address,
  ca,
}: {
  readonly address: string;
  readonly ca: string | null;
}): Promise<VaultClient> {
  // Loaded only where a Vault is configured: it and axios are a twentieth of the start.
  const { default: NodeVault } = await import("node-vault");
  const origin = new URL(address).origin;
  const transport = createTransport(origin, ca);
  const vault = NodeVault({
    endpoint: origin,
    token: "unset",
    namespace: "unset",
    debug: () => undefined,
    "request-promise": { defaults: () => (request: WireRequest) => transport.send(request) },
  } as VaultOptions) as unknown as NodeVaultClient;
  // Empty only now: an empty option would fall back to VAULT_TOKEN and VAULT_NAMESPACE of the environment.
  vault.token = "";
  vault.namespace = "";
  vault.handleVaultResponse = accepted;

  return {
    read: async (path, call) => envelope(await vault.read(path, optionsOf(call))),
    write: async (path, data, call) => envelope(await vault.write(path, data, optionsOf(call))),
    delete: async (path, call) => void (await vault.delete(path, optionsOf(call))),
    close: () => transport.close(),
  };
}

function optionsOf({ token, namespace, decisionId, timeoutMs }: VaultCall) {
  const headers = {
    ...(token !== null && { "X-Vault-Token": token.reveal() }),
    ...(namespace !== "" && { "X-Vault-Namespace": namespace }),
    ...(decisionId !== "" && { "X-Mcp-Decision-Id": decisionId }),
  };
  return { headers, timeoutMs };
}

/** 202: accepted, as Vault answers a revocation that it goes on with. */
function accepted(wire: Wire): unknown {
  if (![200, 202, 204].includes(wire.statusCode)) throw faultOf(wire);
  return wire.body;
}

function envelope(body: unknown): VaultAnswer {
  if (body === undefined) throw malformed("JSON body");
  const given = isJsonObject(body) ? body : {};
  const { request_id, lease_id, lease_duration, renewable, data, auth } = given;
  return {
    requestId: typeof request_id === "string" ? request_id : "",
    leaseId: typeof lease_id === "string" ? lease_id : "",
    leaseDuration: typeof lease_duration === "number" ? lease_duration : 0,
    renewable: renewable === true,
    data: isJsonObject(data) ? data : {},
    auth: isJsonObject(auth) ? auth : {},
  };
}
