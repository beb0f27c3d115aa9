import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";
import type { Log } from "../lib/log.ts";

/** Sees to it that no process group outlives the gateway, however the gateway ends. */
export interface OrphanGuard {
  /** From now on this group ends with the gateway; its leader must be a child that was not reaped yet. Returns how to forget it. */
  hold(leader: number): () => void;
}

/**
 * Runs beside the gateway and is told `+ LEADER BORN` and `- LEADER BORN`. When its input ends, so has the gateway: what
 * is still held gets a moment to see the end of its own input and is killed. A leader with another time of birth
 * (field 22 of proc_pid_stat(5)) only has its number; the number of a leader that is gone is not given to anyone
 * while its group lives.
 */
export const WATCHER = `
trap '' HUP INT QUIT TERM
held=
while read -r sign leader born; do
  rest=
  for one in $held; do [ "$one" = "$leader:$born" ] || rest="$rest $one"; done
  held=$rest
  [ "$sign" = - ] || held="$held $leader:$born"
done
[ -n "$held" ] && sleep 1
for one in $held; do
  leader=\${one%%:*}
  stat=$(cat "/proc/$leader/stat" 2>/dev/null)
  set -- \${stat##*)}
  [ -n "$stat" ] && [ "\${20}" != "\${one#*:}" ] && continue
  kill -s KILL -- "-$leader" 2>/dev/null
done
`;

const RESTART_MS = 1000;

/** One watcher for all that is held, while anything is. On Windows there is none: children see their input end. */
export function createOrphanGuard(log: Log): OrphanGuard {
  const held = new Set<string>();
  let watcher: ChildProcessByStdio<Writable, null, null> | undefined;

  function tell(line: string): void {
    watcher?.stdin.write(`${line}\n`);
  }

  function start(): void {
    if (watcher !== undefined || held.size === 0) return;
    const started = spawn("/bin/sh", ["-c", WATCHER], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["pipe", "ignore", "ignore"],
      // What ends the gateway's own group must not end it.
      detached: true,
    });
    watcher = started;
    started.unref();
    started.stdin.on("error", () => {});
    started.once("error", () => lost(started));
    started.once("exit", () => lost(started));
    for (const one of held) tell(`+ ${one}`);
  }

  function lost(gone: typeof watcher): void {
    if (watcher !== gone) return;
    watcher = undefined;
    log.warn({}, "the watcher over upstream processes is gone");
    setTimeout(start, RESTART_MS).unref();
  }

  /** Nothing is left to watch: it ends at the end of its input. */
  function stop(): void {
    const { stdin } = watcher ?? {};
    watcher = undefined;
    stdin?.end();
  }

  return {
    hold(leader) {
      if (process.platform === "win32") return () => {};
      const one = `${leader} ${birthOf(leader)}`;
      held.add(one);
      if (watcher === undefined) start();
      else tell(`+ ${one}`);
      return () => {
        held.delete(one);
        tell(`- ${one}`);
        if (held.size === 0) stop();
      };
    },
  };
}

/** In clock ticks since boot; "-" where there is no /proc. A name may hold anything, also `)`. */
function birthOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "-";
  } catch {
    return "-";
  }
}
