import { access, constants, mkdir, stat } from "node:fs/promises";
import { messageOf, PortcullisError } from "./errors.ts";
import type { Log } from "./log.ts";

const GROUP_WRITES = 0o020;
const ANYBODY_WRITES = 0o002;

/**
 * A folder of this process alone, made if there is none. Who else may write there could put a signing key, a built
 * policy or a list of suspensions of its own in place, whatever the modes of the files. Its group is told of and let
 * be: a volume that an orchestrator mounts is its group's.
 *
 * @throws PortcullisError `folder_exposed`, `folder_unusable`
 */
export async function ownFolder(setting: string, path: string, log: Log): Promise<void> {
  const { mode, uid } = await usable(path).catch((cause: unknown) => {
    throw new PortcullisError("folder_unusable", { reason: `${setting}: ${messageOf(cause)}`, cause });
  });
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

async function usable(path: string) {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await access(path, constants.W_OK | constants.X_OK);
  return stat(path);
}

/**
 * What decides and is kept by others: policies, pins. Another owner or group there is how they are deployed; of what
 * any user may write to is told. A mount that nobody can write to says nothing by its modes (a ConfigMap's are 0777).
 */
export async function warnOfExposed(setting: string, paths: readonly string[], log: Log): Promise<void> {
  if (process.getuid === undefined) return;
  const exposed = await Promise.all(paths.map(anybodyWrites));
  for (const path of paths.filter((_, i) => exposed[i]))
    log.warn({ setting, path }, "any user may write to what the gateway decides by");
}

async function anybodyWrites(path: string): Promise<boolean> {
  // What is not there, or cannot be read, is told of by whoever needs it.
  const mode = await stat(path).then(
    (found) => found.mode,
    () => 0,
  );
  return (mode & ANYBODY_WRITES) !== 0 && !(await isReadOnly(path));
}

function isReadOnly(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => false,
    (thrown: NodeJS.ErrnoException) => thrown.code === "EROFS",
  );
}
