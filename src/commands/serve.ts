import type { Config } from "../config/config.ts";
import type { ListedKind } from "../domain.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { type Control, type ControlVerbs, openControl } from "../operation/control.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { controlPath } from "./control-path.ts";
import { loadOrTell } from "./load.ts";

/** `portcullis serve`: until a signal, or until the decision log can no longer be written. */
export async function serve(options: CommonOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around, { secrets: true });
  if (config === null) return 2;
  const running = await start(config, around);
  around.stdout.write(
    `${Object.keys(config.servers)
      .map((name) => `url: ${running.gateway.urlOf(name)}`)
      .join("\n")}\n`,
  );
  const fatal = await Promise.race([around.stopped.then(() => false), running.fatal.then(() => true)]);
  await running.close();
  return fatal ? 1 : 0;
}

export interface Running {
  readonly gateway: Gateway;
  /** Resolves when the decision log has failed. */
  readonly fatal: Promise<void>;
  close(): Promise<void>;
}

/** A listening gateway, with the socket that `status`, `pin` and `token` ask. */
export async function start(
  config: Config,
  around: Pick<Surroundings, "env" | "createLog">,
): Promise<Running> {
  const log = around.createLog(config.log.level);
  let fail: () => void = () => {};
  const fatal = new Promise<void>((resolve) => {
    fail = resolve;
  });
  const gateway = await createGateway({
    config,
    env: around.env,
    log,
    onFatal: (err) => {
      log.error({ err }, "the decision log cannot be written: nothing is served, ending");
      fail();
    },
  });
  let control: Control | undefined;
  try {
    control = await openControl(controlPath(config), verbsOf(gateway));
    const { url } = await gateway.listen();
    log.info({ url, servers: Object.keys(config.servers) }, "listening");
  } catch (error) {
    await control?.close();
    await gateway.close();
    throw error;
  }
  const opened = control;
  return {
    gateway,
    fatal,
    async close() {
      await opened.close();
      await gateway.close();
    },
  };
}

function verbsOf(gateway: Gateway): ControlVerbs {
  const { operator } = gateway;
  return {
    status: async () => ({ ...gateway.status() }) as unknown as JsonObject,
    reload: async () => (await gateway.reload()) as unknown as JsonObject,
    pin: async ({ upstream, target, kind = "tool" }: JsonObject) =>
      gateway.approve(String(upstream), String(target), String(kind) as ListedKind),
    token: async ({ user, server }: JsonObject) =>
      (await gateway.token(String(user), String(server))).reveal(),
    "tenant/suspend": async (ask) => ({ ...(await operator.suspend(orderOf(ask))) }),
    "tenant/resume": async (ask) => ({ ...(await operator.resume(orderOf(ask))) }) as unknown as JsonObject,
    "tenant/list": async () => (await operator.tenants()) as unknown as Json,
    "accounts/list": async ({ tenant, subject }) =>
      (await operator.links(
        String(tenant),
        ...(subject === undefined ? [] : [String(subject)]),
      )) as unknown as Json,
    "accounts/unlink": async (ask) => {
      const { issuer, subject, account } = ask;
      const whose = { issuer: String(issuer), subject: String(subject), account: String(account) };
      return { ...(await operator.unlink({ ...orderOf(ask), ...whose })) };
    },
    "accounts/shred": async (ask) => ({ ...(await operator.shred(orderOf(ask))) }),
  };
}

function orderOf({ tenant, reason = "", by }: JsonObject) {
  return { tenant: String(tenant), reason: String(reason), by: String(by) };
}
