import type { Config } from "../config/config.ts";
import { startEverything } from "./everything.ts";
import { startSupportDesk } from "./support-desk/support-desk.ts";

/** The sample company's servers, running. */
export interface World {
  /** The given configuration, with the addresses that the servers really have. */
  readonly config: Config;
  close(): Promise<void>;
}

/** Starts what the example's configuration names `desk` and `everything`; the others are started by the gateway. */
export async function openWorld(given: Config, port: number): Promise<World> {
  const public_url = `http://127.0.0.1:${port}`;
  const listen = { ...given.listen, port, public_url, allowed_hosts: [new URL(public_url).host] };
  const [everything, desk] = await Promise.all([
    startEverything(),
    startSupportDesk({
      port: 0,
      keys: new URL(`${public_url}/.well-known/portcullis/jwks.json`),
      audience: "https://desk.example",
      issuer: public_url,
    }),
  ]);
  const upstreams = { ...given.upstreams, ...at("everything", everything.url), ...at("desk", desk.url) };
  return {
    config: { ...given, listen, upstreams },
    async close() {
      await Promise.all([everything.close(), desk.close()]);
    },
  };

  function at(name: string, url: string): Config["upstreams"] {
    const settings = given.upstreams[name];
    if (settings?.transport !== "http") throw new Error(`the example has no HTTP upstream ${name}`);
    return { [name]: { ...settings, url } };
  }
}
