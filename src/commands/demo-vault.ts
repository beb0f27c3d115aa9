import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../demo/free-port.ts";
import { nothingLeft, vaultTour } from "../demo/vault/tour.ts";
import { openVaultWorld } from "../demo/vault/world.ts";
import type { ExitCode, Surroundings } from "./command.ts";
import { type DemoOptions, guideTo } from "./demo.ts";
import { loadOrTell } from "./load.ts";
import { type Running, start } from "./serve.ts";

const EXAMPLE = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "examples/vault");

/** `portcullis demo-vault`: a real OpenBao and a real PostgreSQL, and a role for each user that comes and goes. */
export async function demoVault({ exit, port }: DemoOptions, around: Surroundings): Promise<ExitCode> {
  const out = around.stdout;
  const guide = guideTo(around);
  const chosen = await freePort(port);
  const world = await openVaultWorld(EXAMPLE, `http://127.0.0.1:${chosen}`);
  const directory = await mkdtemp(join(tmpdir(), "portcullis-demo-"));
  let running: Running | undefined;
  try {
    const env = { ...around.env, ...world.env };
    const file = join(EXAMPLE, "portcullis.yaml");
    const config = await loadOrTell({ config: file }, { ...around, env }, { secrets: true });
    if (config === null) return 2;
    const log = { ...config.audit, path: join(directory, "log") };
    const given = { ...world.configured(config, chosen), audit: log, state: { path: directory } };
    running = await start(given, { env, createLog: () => around.createLog("error") });
    const { gateway } = running;
    out.write(`\n${guide.bold("Portcullis")}  a database role for each user, from OpenBao, for PostgreSQL\n`);
    out.write(`            ${guide.bold(gateway.urlOf("desk"))}\n`);
    const shown = await vaultTour({ gateway, world, logPath: log.path, guide });
    if (!exit) {
      out.write(
        `\nOpenBao ${world.bao.address}, PostgreSQL 127.0.0.1:${world.postgres.port}. Up until Ctrl-C.\n`,
      );
      await around.stopped;
    }
    await running.close();
    running = undefined;
    const good = (await nothingLeft({ world, guide })) && shown;
    out.write(good ? "\n" : `\n${guide.bad("Something was not as it should be.")}\n`);
    return good ? 0 : 1;
  } finally {
    await running?.close();
    await world.close();
    await rm(directory, { recursive: true, force: true });
  }
}
