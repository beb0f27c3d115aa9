/** Characters that may wait to be told: as much as the edge keeps for a reader that does not keep up. */
const MOST_WAITING = 4 << 20;

/** Tells one thing after the other, each once it is known how. */
export interface InTurn {
  /** More waits than may: what can be lost is not to be added. */
  isFull(): boolean;
  /** `telling` never rejects. */
  add(text: string, telling: () => Promise<void>): void;
  /** Resolves when all of it was told. */
  told(): Promise<void>;
}

/** `first`: what is told before; it never rejects. */
export function createInTurn(first: Promise<void> = Promise.resolve()): InTurn {
  let last = first;
  let waiting = 0;
  return {
    isFull: () => waiting > MOST_WAITING,
    add(text, telling) {
      waiting += text.length;
      last = last.then(telling).then(() => {
        waiting -= text.length;
      });
    },
    told: () => last,
  };
}
