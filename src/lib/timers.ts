/** The longest delay of a timer: beyond, Node's wrap to none. */
export const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Clears an unref'd timer of a delay that hardly any other has. Node keeps the list of such a delay until it would have
 * been due, though nothing is left in it (`unenroll` in lib/internal/timers.js): every stream would leave one for as long
 * as its token is good, every lease for as long as it could have lived.
 */
export function dropTimer(timer: NodeJS.Timeout | undefined): void {
  clearTimeout(timer?.ref());
}
