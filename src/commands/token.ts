import { didYouMean } from "../config/problems.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { askOrTell } from "./gateway-client.ts";
import { loadOrTell } from "./load.ts";
import { json } from "./print.ts";

export interface TokenOptions extends CommonOptions {
  readonly arguments: readonly string[];
  readonly server?: string;
}

/** `portcullis token USER`: a token of the embedded authorization server, and nothing else, on stdout. */
export async function token(options: TokenOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  const refuse = (why: string): ExitCode => {
    around.stderr.write(`portcullis: ${why}\n`);
    return 2;
  };
  const [user = ""] = options.arguments;
  const users = Object.keys(config.authorization_server?.users ?? {});
  if (config.authorization_server === null) return refuse("there is no embedded authorization server to ask");
  if (!users.includes(user))
    return refuse(`there is no sample user "${user}": ${didYouMean(user, users) || users.join(", ")}`);
  const servers = Object.keys(config.servers);
  const [only = ""] = servers;
  if (options.server === undefined && servers.length > 1)
    return refuse(`--server is needed: one of ${servers.join(", ")}`);
  const server = options.server ?? only;
  if (!servers.includes(server))
    return refuse(
      `there is no virtual server "${server}": ${didYouMean(server, servers) || servers.join(", ")}`,
    );
  const value = await askOrTell(config, "token", { user, server }, around);
  if (value === undefined) return 2;
  around.stdout.write(options.json ? json({ user, server, token: value }) : `${value}\n`);
  return 0;
}
