/** What ends early: an `AbortSignal`, as far as those who wait for it can see. */
export interface Cancellable {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: Listener, options?: { readonly once?: boolean }): void;
  removeEventListener(type: "abort", listener: Listener): void;
}

type Listener = (() => void) | { handleEvent(): void };

/**
 * An abort signal of a call's own. In Node 20 each `AbortSignal` is an object of a new shape, so that V8 compiles nothing
 * for it: what touches it is looked up anew.
 */
export class Cancellation implements Cancellable {
  aborted = false;
  /** Hardly ever more than one. */
  #listeners: Listener[] = [];

  /** Tells each listener once; later ones are told nothing, as by an `AbortSignal`. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    const told = this.#listeners;
    this.#listeners = [];
    for (const listener of told) {
      if (typeof listener === "function") listener();
      else listener.handleEvent();
    }
  }

  addEventListener(_: "abort", listener: Listener): void {
    if (!this.aborted && !this.#listeners.includes(listener)) this.#listeners.push(listener);
  }

  removeEventListener(_: "abort", listener: Listener): void {
    const at = this.#listeners.indexOf(listener);
    if (at !== -1) this.#listeners.splice(at, 1);
  }
}

/** The same for those who need a real one. */
export function abortSignalOf(cancellable: Cancellable): AbortSignal {
  if (cancellable instanceof AbortSignal) return cancellable;
  const controller = new AbortController();
  if (cancellable.aborted) controller.abort();
  else cancellable.addEventListener("abort", () => controller.abort(), { once: true });
  return controller.signal;
}
