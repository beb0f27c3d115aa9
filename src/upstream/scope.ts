import { PortcullisError } from "../lib/errors.ts";

/** How long one request may take, and who may end it early: its caller, or the clock. */
export interface Scope {
  /** Why it has ended; undefined while it has not. */
  readonly error: PortcullisError | undefined;
  /** Called once, when the scope ends before `close`. Assigning replaces the previous one. */
  whenEnded: ((error: PortcullisError) => void) | undefined;
  /** The promise's outcome, or the scope's end if that comes first. */
  race<T>(promise: Promise<T>): Promise<T>;
  close(): void;
}

const ONCE = { once: true } as const;

/** Ends with `cancelled` when the signal, if any, aborts and with `upstream_timeout` after `timeoutMs`. */
export function createScope(signal: AbortSignal | null, timeoutMs: number): Scope {
  const onAbort = () => end(new PortcullisError("cancelled"));
  const timer = setTimeout(() => end(new PortcullisError("upstream_timeout")), timeoutMs);
  const scope: { -readonly [Key in keyof Scope]: Scope[Key] } = {
    error: undefined,
    whenEnded: undefined,
    race,
    close,
  };

  function end(error: PortcullisError): void {
    close();
    scope.error = error;
    scope.whenEnded?.(error);
  }

  function close(): void {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }

  function race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (scope.error !== undefined) reject(scope.error);
      scope.whenEnded = reject;
      promise.then(resolve, reject);
    });
  }

  if (signal?.aborted) end(new PortcullisError("cancelled"));
  else signal?.addEventListener("abort", onAbort, ONCE);
  return scope;
}
