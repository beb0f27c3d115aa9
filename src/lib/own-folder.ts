import { mkdir, stat } from "node:fs/promises";
import { PortcullisError } from "./errors.ts";
import type { Log } from "./log.ts";

const GROUP_WRITES = 0o020;
const ANYBODY_WRITES = 0o002;

/**
 * A folder of this process alone, made if there is none. Who else may write there could put a signing key, a built
 * policy or a list of suspensions of its own in place, whatever the modes of the files. Its group is told of and let
 * be: a volume that an orchestrator mounts is its group's.
 *
 * @throws PortcullisError `folder_exposed`
 */
export async function ownFolder(setting: string, path: string, log: Log): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(path);
  // Windows tells no modes.
  const own = process.getuid?.();
  if (own === undefined) return;
  if ((mode & ANYBODY_WRITES) !== 0) {
    const reason = `any user may write to ${setting}, ${path}: chmod o-w, or name a folder below it`;
    throw new PortcullisError("folder_exposed", { reason });
  }
  const others = [
    ...((mode & GROUP_WRITES) !== 0 ? ["its group"] : []),
    ...(uid !== own && uid !== 0 ? [`its owner, user ${uid}`] : []),
  ];
  if (others.length > 0)
    log.warn({ setting, path, others }, "others may write to a folder that the gateway trusts");
}
