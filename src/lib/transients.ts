/**
 * A map for what comes and goes with every request. V8 chains the tables that a `Map` or a `Set` rehashes, so that one of
 * them in old space keeps all that ever stood in its successors until the next full collection: whole requests would be
 * promoted, each with everything it refers to.
 */
export class Transients<Value> {
  readonly #values: Record<string | number, Value> = Object.create(null);
  #size = 0;
  #lastKey = 0;

  get size(): number {
    return this.#size;
  }

  has(key: string | number): boolean {
    return keyOf(key) in this.#values;
  }

  get(key: string | number): Value | undefined {
    return this.#values[keyOf(key)];
  }

  set(key: string | number, value: Value): void {
    const own = keyOf(key);
    if (!(own in this.#values)) this.#size += 1;
    this.#values[own] = value;
  }

  /** Under a key of its own. Returns how to take it out. */
  add(value: Value): () => void {
    this.#lastKey += 1;
    const key = this.#lastKey;
    this.set(key, value);
    return () => this.delete(key);
  }

  delete(key: string | number): void {
    const own = keyOf(key);
    if (!(own in this.#values)) return;
    this.#size -= 1;
    delete this.#values[own];
  }

  /** As they are now: what comes or goes meanwhile changes nothing. */
  values(): readonly Value[] {
    return Object.values(this.#values);
  }
}

/** `7` and `"7"` are different ids. */
function keyOf(key: string | number): string | number {
  return typeof key === "number" ? key : ` ${key}`;
}
