import type { Config } from "../config/config.ts";
import type { ListedKind } from "../domain.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import type { JsonObject } from "../lib/json.ts";
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
    status: async () => gateway.status(),
    reload: () => gateway.reload(),
    pin: ({ upstream, target, kind = "tool" }) =>
      gateway.approve(String(upstream), String(target), String(kind) as ListedKind),
    token: async ({ user, server }) => (await gateway.token(String(user), String(server))).reveal(),
    "tenant/suspend": (ask) => operator.suspend(orderOf(ask)),
    "tenant/resume": (ask) => operator.resume(orderOf(ask)),
    "tenant/list": () => operator.tenants(),
    "accounts/list": ({ tenant, subject }) =>
      operator.links(String(tenant), subject === undefined ? undefined : String(subject)),
    "accounts/unlink": (ask) => {
      const { issuer, subject, account } = ask;
      const whose = { issuer: String(issuer), subject: String(subject), account: String(account) };
      return operator.unlink({ ...orderOf(ask), ...whose });
    },
    "accounts/shred": (ask) => operator.shred(orderOf(ask)),
  };
}

function orderOf({ tenant, reason = "", by }: JsonObject) {
  return { tenant: String(tenant), reason: String(reason), by: String(by) };
}
