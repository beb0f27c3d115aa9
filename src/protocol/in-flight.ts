import { PortcullisError } from "../lib/errors.ts";
import type { RequestId } from "../lib/rpc.ts";
import { Transients } from "../lib/transients.ts";

/** The requests of one client that are being answered here, each with how to cancel it. */
export interface InFlight {
  readonly size: number;
  /** @throws PortcullisError `id_in_use`: two requests of one id could be given each other's answer. */
  begin(id: RequestId, abort: () => void): void;
  end(id: RequestId): void;
  /** false: there is no such request here, or no longer. */
  cancel(id: RequestId): boolean;
  /** It is over: also what begins later, of a request that came before, is aborted. */
  abortAll(): void;
}

/** `isCancelled`: before it came; then it is aborted as soon as it begins. */
export function createInFlight(isCancelled: (id: RequestId) => boolean = () => false): InFlight {
  const aborts = new Transients<() => void>();
  let isOver = false;
  return {
    get size() {
      return aborts.size;
    },
    begin(id, abort) {
      if (aborts.has(id)) throw new PortcullisError("id_in_use");
      aborts.set(id, abort);
      if (isOver || isCancelled(id)) abort();
    },
    end(id) {
      aborts.delete(id);
    },
    cancel(id) {
      const abort = aborts.get(id);
      abort?.();
      return abort !== undefined;
    },
    abortAll() {
      isOver = true;
      for (const abort of aborts.values()) abort();
    },
  };
}
