/** What the binary format of WebAssembly is read and written with. */
export class Reader {
  position: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, position = 0) {
    this.#bytes = bytes;
    this.position = position;
  }

  get done(): boolean {
    return this.position >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.position++];
    if (byte === undefined) throw new Error("wasm: truncated");
    return byte;
  }

  bytes(length: number): Uint8Array {
    if (this.position + length > this.#bytes.length) throw new Error("wasm: truncated");
    this.position += length;
    return this.#bytes.subarray(this.position - length, this.position);
  }

  rest(): Uint8Array {
    return this.bytes(this.#bytes.length - this.position);
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error("wasm: a number is too long");
  }

  /** Skips LEB128 numbers. */
  leb(count: number): void {
    for (let i = 0; i < count; i++) while (this.byte() >= 0x80);
  }
}

export function leb(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}

export function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return join(leb(bytes.length), bytes);
}

export function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
