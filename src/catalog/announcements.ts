import type { Listed } from "../domain.ts";

/** What an upstream says has changed, until it is asked about it. */
export interface Announcements {
  hear(what: Listed): void;
  /** What was announced; it is no longer waited for. */
  take(): readonly Listed[];
  /** Everything that was taken has been asked for and read. */
  followed(): void;
  close(): void;
}

/** Announcements of a change within this time are one. */
const DEBOUNCE_MS = 100;
/** Of all the time, the part that is spent on following what one upstream announces. */
const SHARE = 10;

/**
 * Calls back soon after an announcement, and after longer and longer waits where they come one after the other: to ask
 * for a list and read it costs far more than to announce it. The longest is `longestMs`.
 */
export function createAnnouncements(longestMs: number, follow: () => void): Announcements {
  const heard = new Set<Listed>();
  let timer: NodeJS.Timeout | undefined;
  let waitMs = DEBOUNCE_MS;
  let taken = 0;
  let followed = 0;

  function schedule(): void {
    const now = performance.now();
    if (now - followed > Math.max(2 * waitMs, SHARE * (followed - taken))) waitMs = DEBOUNCE_MS;
    timer = setTimeout(follow, waitMs).unref();
    waitMs = Math.min(longestMs, 2 * waitMs);
  }

  function stop(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  return {
    hear(what) {
      heard.add(what);
      if (timer === undefined && followed >= taken) schedule();
    },
    take() {
      stop();
      taken = performance.now();
      const lists = [...heard];
      heard.clear();
      return lists;
    },
    followed() {
      followed = performance.now();
      if (heard.size > 0 && timer === undefined) schedule();
    },
    close: stop,
  };
}
