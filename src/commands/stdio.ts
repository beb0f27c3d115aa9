import { join } from "node:path";
import { createGateway } from "../gateway.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { loadOrTell } from "./load.ts";

export interface StdioOptions extends CommonOptions {
  /** The virtual server; may be left out where there is only one. */
  readonly server?: string;
}

/** `portcullis stdio`: a virtual server for one developer's client, until its end of input. Stdout is the protocol's. */
export async function stdio(options: StdioOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around, { secrets: true });
  if (config === null) return 2;
  const names = Object.keys(config.servers);
  const server = options.server ?? (names.length === 1 ? names[0] : undefined);
  if (server === undefined || !names.includes(server)) {
    around.stderr.write(`portcullis: name a virtual server with --server: ${names.join(", ")}\n`);
    return 2;
  }
  if (config.local === undefined) {
    around.stderr.write('portcullis: "local" is missing: it says which tenant and roles this user has\n');
    return 2;
  }
  const log = around.createLog(config.log.level);
  // Each client starts a gateway of its own, and a log has one writer.
  const audit = { ...config.audit, path: join(config.audit.path, "stdio", String(around.pid)) };
  const gateway = await createGateway({ config: { ...config, audit }, env: around.env, log });
  const stop = new AbortController();
  around.stopped.then(() => stop.abort()).catch(() => {});
  try {
    await gateway.stdio({
      server,
      user: around.user,
      input: around.stdin,
      output: around.stdout,
      signal: stop.signal,
    });
    return 0;
  } finally {
    await gateway.close();
  }
}
