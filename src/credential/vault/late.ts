import { PortcullisError } from "../../lib/errors.ts";

/** How long after the caller's deadline an answer is waited for: Vault may have made the credential all the same. */
export const GRACE_MS = 30_000;

/**
 * Starts work and rejects with `vault_timeout` when it takes longer than `ms` from when `begin` runs; what then still
 * arrives is given to `late`, which ends it.
 */
export function withDeadline<T>(
  ms: number,
  start: (begin: () => void) => Promise<T>,
  late: (result: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let isLate = false;
    const begin = () => {
      timer = setTimeout(() => {
        isLate = true;
        reject(new PortcullisError("vault_timeout"));
      }, ms);
    };
    start(begin)
      .then((result) => (isLate ? late(result) : resolve(result)), reject)
      .finally(() => clearTimeout(timer));
  });
}
