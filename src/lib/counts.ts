/** How many, or how much, there is of each; what there is none of takes no room. */
export interface Counts<Key> {
  of(key: Key): number;
  add(key: Key, change: number): void;
}

export function createCounts<Key>(): Counts<Key> {
  const counts = new Map<Key, number>();
  const of = (key: Key) => counts.get(key) ?? 0;
  return {
    of,
    add(key, change) {
      const count = of(key) + change;
      if (count === 0) counts.delete(key);
      else counts.set(key, count);
    },
  };
}
