import { resolve } from "node:path";
import { Readable, Writable } from "node:stream";
import type { Surroundings } from "../../src/commands/command.ts";
import { load } from "../../src/compose/load.ts";
import type { Config } from "../../src/config/config.ts";
import { silentLog } from "../../src/lib/log.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
export const COMPANY = `${ROOT}/examples/acme-and-globex`;

/** The example's configuration, with other addresses for some of its upstreams. */
export async function exampleConfig(urls: Readonly<Record<string, string>> = {}): Promise<Config> {
  const loaded = await load({ config: "portcullis.yaml" }, { cwd: COMPANY, env: {} }, { secrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const moved = Object.entries(config.upstreams).map(([name, settings]) => {
    const url = urls[name];
    return [
      name,
      url !== undefined && settings.transport === "http" ? { ...settings, url } : settings,
    ] as const;
  });
  return { ...config, upstreams: Object.fromEntries(moved) };
}

/** A command's surroundings that keep what it prints. */
export function surroundings(
  cwd: string,
  { env = {}, input = "" }: { env?: Surroundings["env"]; input?: string } = {},
) {
  const printed = { out: "", err: "" };
  const around: Surroundings = {
    env,
    cwd,
    pid: 1,
    user: "ann",
    stdin: Readable.from([input]),
    stdout: new Writable({
      write(text, _, done) {
        printed.out += text;
        done();
      },
    }),
    stderr: {
      write: (text) => {
        printed.err += text;
      },
    },
    stopped: new Promise(() => {}),
    createLog: () => silentLog,
  };
  return { around, printed };
}
