/**
 * The bytes of many chunks, in one place. Whoever sends a byte a chunk makes its reader keep a Buffer for each, which
 * takes hundreds of times the room of the byte in it; here the room is at most twice that of the bytes.
 */
export class Gathered {
  #length = 0;
  /** The only chunk as it came, until there is a second one. */
  #bytes: Uint8Array = new Uint8Array(0);

  get length(): number {
    return this.#length;
  }

  add(chunk: Uint8Array): void {
    const before = this.#length;
    this.#length += chunk.length;
    if (before === 0) {
      this.#bytes = chunk;
      return;
    }
    // A chunk kept as it came has no room left, so that nothing is ever written into memory that is another's.
    if (this.#length > this.#bytes.length) this.#grow(before);
    this.#bytes.set(chunk, before);
  }

  #grow(held: number): void {
    const larger = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, held));
    this.#bytes = larger;
  }

  /** What came, by now. The caller's until `add` is called again. */
  take(): Buffer {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#length);
  }
}

/** The whole body; undefined where it is longer than `limit` bytes, of which the rest is not read. */
export async function gather(body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer | undefined> {
  const gathered = new Gathered();
  for await (const chunk of body) {
    if (gathered.length + chunk.length > limit) return undefined;
    gathered.add(chunk);
  }
  return gathered.take();
}
