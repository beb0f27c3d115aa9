import type { Log } from "../lib/log.ts";

/** An upstream can send any number of them: the log has the first, then every time their count has doubled. */
export function createDropped(log: Log): (what: string) => void {
  let dropped = 0;
  return (what) => {
    dropped += 1;
    if ((dropped & (dropped - 1)) === 0) log.warn({ what, dropped }, "dropped what an upstream sent");
  };
}
