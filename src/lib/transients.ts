/**
 * A map for what comes and goes with every request. V8 chains the tables that a `Map` or a `Set` rehashes, so that one of
 * them in old space keeps all that ever stood in its successors until the next full collection: whole requests would be
 * promoted, each with everything it refers to. Here the last takes the place of what leaves, and keys are searched one by
 * one: as many as there are requests at a time.
 */
export class Transients<Value> {
  readonly #keys: (string | number)[] = [];
  readonly #values: Value[] = [];
  #lastKey = 0;

  get size(): number {
    return this.#keys.length;
  }

  has(key: string | number): boolean {
    return this.#keys.includes(key);
  }

  get(key: string | number): Value | undefined {
    const at = this.#keys.lastIndexOf(key);
    return at === -1 ? undefined : this.#values[at];
  }

  set(key: string | number, value: Value): void {
    const at = this.#keys.lastIndexOf(key);
    if (at === -1) {
      this.#keys.push(key);
      this.#values.push(value);
    } else this.#values[at] = value;
  }

  /** Under a key of its own. Returns how to take it out. */
  add(value: Value): () => void {
    this.#lastKey += 1;
    const key = this.#lastKey;
    this.set(key, value);
    return () => this.delete(key);
  }

  delete(key: string | number): void {
    const at = this.#keys.lastIndexOf(key);
    if (at === -1) return;
    const [lastKey, last] = [this.#keys.pop(), this.#values.pop()];
    if (at === this.#keys.length) return;
    this.#keys[at] = lastKey as string | number;
    this.#values[at] = last as Value;
  }

  /** As they are now, in no order: what comes or goes meanwhile changes nothing. */
  values(): readonly Value[] {
    return [...this.#values];
  }
}
