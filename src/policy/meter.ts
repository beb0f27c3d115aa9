/**
 * Puts a step counter into a WebAssembly module and a ceiling on its memory. A policy that loops over what a client
 * sent would otherwise hold the process for minutes: evaluation is synchronous and has no interrupt.
 *
 * The counter is a mutable i32 global, appended so that no index shifts, decremented at each loop head and at each entry
 * of a function that calls; below zero the module traps (`unreachable`). The C parts that OPA links in (JSON, regex,
 * sets) are code of the same module and are counted alike.
 *
 * Binary format: https://webassembly.github.io/spec/core/binary/
 */
import { join, leb, Reader, text } from "./wasm-bytes.ts";

/** The export to set before an evaluation and to read after it. */
export const FUEL = "portcullis_steps";

const SECTION = {
  type: 1,
  import: 2,
  function: 3,
  memory: 5,
  global: 6,
  export: 7,
  code: 10,
  data: 11,
} as const;
/** The order in which sections must stand, `datacount` (12) coming before `code`. */
const ORDER = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];
const KIND = { function: 0, table: 1, memory: 2, global: 3 } as const;
const LOOP = 0x03;
const I32 = 0x7f;
const FUNCTION = 0x60;
const I32_CONST = 0x41;
const END = 0x0b;
const PAGE = 64 * 1024;
/** i32, mutable, `i32.const 0x7fffffff`: the module's own start function runs before a host can set a budget. */
const COUNTER = [0x7f, 1, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b];

export interface Metered {
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** What the module has to begin with, in pages of 64 KiB. */
  readonly minimumPages: number;
}

/**
 * @param wasm a module that imports its one memory
 * @param maximumPages the most memory it may ever have, in pages of 64 KiB
 * @throws Error when the module uses anything this rewriter does not know
 */
export function meter(wasm: Uint8Array, maximumPages: number): Metered {
  const sections = readSections(wasm);
  const bodyOf = (id: number) => sections.find((section) => section.id === id)?.body ?? Uint8Array.of(0);
  if (sections.some(({ id }) => id === SECTION.memory))
    throw new Error("wasm: a memory of its own has no ceiling");

  const imports = rewriteImports(bodyOf(SECTION.import), pagesOf(bodyOf(SECTION.data)), maximumPages);
  const globals = vector(bodyOf(SECTION.global));
  const index = imports.globals + globals.count;
  const exported = vector(bodyOf(SECTION.export));
  const replaced = new Map<number, Uint8Array>([
    [SECTION.import, imports.body],
    [SECTION.global, join(leb(globals.count + 1), globals.items, Uint8Array.from(COUNTER))],
    [
      SECTION.export,
      join(leb(exported.count + 1), exported.items, text(FUEL), Uint8Array.of(KIND.global), leb(index)),
    ],
    [
      SECTION.code,
      meterCode(bodyOf(SECTION.code), parameterCounts(bodyOf(SECTION.type), bodyOf(SECTION.function)), index),
    ],
  ]);
  return {
    wasm: join(wasm.subarray(0, 8), ...writeSections(sections, replaced)),
    minimumPages: imports.minimumPages,
  };
}

interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

function readSections(wasm: Uint8Array): Section[] {
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (!magic.every((byte, at) => wasm[at] === byte)) throw new Error("wasm: not a version 1 module");
  const reader = new Reader(wasm, 8);
  const sections: Section[] = [];
  while (!reader.done) sections.push({ id: reader.byte(), body: reader.bytes(reader.u32()) });
  return sections;
}

function writeSections(
  sections: readonly Section[],
  replaced: ReadonlyMap<number, Uint8Array>,
): Uint8Array[] {
  const known = ORDER.flatMap((id) => {
    const body = replaced.get(id) ?? sections.find((section) => section.id === id)?.body;
    return body ? [{ id, body }] : [];
  });
  const custom = sections.filter(({ id }) => id === 0);
  return [...known, ...custom].map(({ id, body }) => join(Uint8Array.of(id), leb(body.length), body));
}

function vector(body: Uint8Array): { count: number; items: Uint8Array } {
  const reader = new Reader(body);
  return { count: reader.u32(), items: reader.rest() };
}

interface Imports {
  readonly body: Uint8Array;
  /** Imported globals come first in the index space. */
  readonly globals: number;
  readonly minimumPages: number;
}

/**
 * The pages that the module's own data fills. OPA's compiler counts them before it writes the last of it, the names of the
 * rules: a module whose names go beyond a page could not be instantiated with what it asks for.
 */
function pagesOf(data: Uint8Array): number {
  const reader = new Reader(data);
  let end = 0;
  for (let left = reader.u32(); left > 0; left--) {
    const [memory, opcode, address] = [reader.u32(), reader.byte(), reader.u32()];
    if (memory !== 0 || opcode !== I32_CONST || reader.byte() !== END)
      throw new Error("wasm: data whose address is not fixed");
    end = Math.max(end, address + reader.bytes(reader.u32()).length);
  }
  return Math.ceil(end / PAGE);
}

/** Caps the imported memory, and asks for as much as there is data. */
function rewriteImports(body: Uint8Array, dataPages: number, maximumPages: number): Imports {
  const reader = new Reader(body);
  const count = reader.u32();
  const out = [leb(count)];
  let globals = 0;
  let minimumPages = -1;
  for (let i = 0; i < count; i++) {
    const start = reader.position;
    reader.bytes(reader.u32());
    reader.bytes(reader.u32());
    const kind = reader.byte();
    if (kind === KIND.memory) {
      out.push(body.subarray(start, reader.position));
      const limits = cappedLimits(reader, dataPages, maximumPages);
      out.push(limits.bytes);
      minimumPages = limits.minimum;
      continue;
    }
    if (kind === KIND.function) reader.u32();
    else if (kind === KIND.global) reader.bytes(2);
    else if (kind === KIND.table) skipTable(reader);
    else throw new Error(`wasm: unknown kind of import ${kind}`);
    if (kind === KIND.global) globals++;
    out.push(body.subarray(start, reader.position));
  }
  if (minimumPages < 0) throw new Error("wasm: the memory must be imported");
  return { body: join(...out), globals, minimumPages };
}

function cappedLimits(reader: Reader, dataPages: number, maximumPages: number) {
  const flags = reader.byte();
  if (flags > 1) throw new Error("wasm: shared and 64-bit memories are not supported");
  const minimum = Math.max(reader.u32(), dataPages);
  const maximum = Math.min(maximumPages, flags === 1 ? reader.u32() : maximumPages);
  if (minimum > maximum) throw new Error(`wasm: needs ${minimum} pages of memory, ${maximum} are allowed`);
  return { bytes: join(Uint8Array.of(1), leb(minimum), leb(maximum)), minimum };
}

function skipTable(reader: Reader): void {
  reader.byte();
  const flags = reader.byte();
  reader.u32();
  if (flags === 1) reader.u32();
}

/** How many parameters each function has. */
function parameterCounts(types: Uint8Array, functions: Uint8Array): number[] {
  const reader = new Reader(types);
  const counts = Array.from({ length: reader.u32() }, () => {
    if (reader.byte() !== FUNCTION) throw new Error("wasm: a type that is no function's");
    const parameters = reader.bytes(reader.u32()).length;
    reader.bytes(reader.u32());
    return parameters;
  });
  const indices = new Reader(functions);
  return Array.from({ length: indices.u32() }, () => {
    const count = counts[indices.u32()];
    if (count === undefined) throw new Error("wasm: a function of no type");
    return count;
  });
}

/** `if ((left = --steps) < 0) unreachable`: from the local, the new value need not be loaded again. */
function charge(global: number, local: number): Uint8Array {
  const [steps, left] = [leb(global), leb(local)];
  // global.get, i32.const 1, i32.sub, local.tee, global.set
  const decrement = join(
    Uint8Array.of(0x23),
    steps,
    Uint8Array.of(0x41, 1, 0x6b, 0x22),
    left,
    Uint8Array.of(0x24),
    steps,
  );
  // local.get, i32.const 0, i32.lt_s, if, unreachable, end
  return join(decrement, Uint8Array.of(0x20), left, Uint8Array.of(0x41, 0, 0x48, 0x04, 0x40, 0x00, 0x0b));
}

function meterCode(body: Uint8Array, parameters: readonly number[], global: number): Uint8Array {
  const reader = new Reader(body);
  const count = reader.u32();
  if (count !== parameters.length) throw new Error("wasm: functions and their code differ in number");
  const out = [leb(count)];
  for (const before of parameters) {
    const metered = meterFunction(reader.bytes(reader.u32()), before, global);
    out.push(leb(metered.length), metered);
  }
  return join(...out);
}

/** Charges each loop head, and the entry of a function that calls: one that does neither is soon done. */
function meterFunction(body: Uint8Array, parameters: number, global: number): Uint8Array {
  const reader = new Reader(body);
  const groups = reader.u32();
  const declared = reader.position;
  let locals = parameters;
  for (let group = 0; group < groups; group++) {
    locals += reader.u32();
    reader.byte();
  }
  const entry = reader.position;
  const loops: number[] = [];
  let calls = false;
  while (!reader.done) {
    const opcode = reader.byte();
    skipImmediates(reader, opcode);
    if (opcode === LOOP) loops.push(reader.position);
    calls ||= opcode === CALL || opcode === CALL_INDIRECT;
  }
  const points = calls ? [entry, ...loops] : loops;
  if (points.length === 0) return body;
  const charged = charge(global, locals);
  const parts = points.flatMap((point, i) => [body.subarray(points[i - 1] ?? entry, point), charged]);
  const withLocal = join(leb(groups + 1), body.subarray(declared, entry), Uint8Array.of(1, I32));
  return join(withLocal, ...parts, body.subarray(points.at(-1)));
}

const CALL = 0x10;
const CALL_INDIRECT = 0x11;
const BR_TABLE = 0x0e;
const F32_CONST = 0x43;
const F64_CONST = 0x44;
/** How many LEB128 numbers follow an opcode; -1: none of those that OPA's compiler writes. */
const IMMEDIATES = new Int8Array(256).fill(-1);
IMMEDIATES.fill(0, 0x45, 0xc5); // numeric, conversion, sign extension
IMMEDIATES.fill(2, 0x28, 0x3f); // load and store: alignment, offset
IMMEDIATES.fill(1, 0x20, 0x25); // local.*, global.*
for (const plain of [0x00, 0x01, 0x05, 0x0b, 0x0f, 0x1a, 0x1b]) IMMEDIATES[plain] = 0; // unreachable, nop, else, end, return, drop, select
for (const one of [0x02, LOOP, 0x04, 0x0c, 0x0d, CALL]) IMMEDIATES[one] = 1; // block, loop, if, br, br_if, call
for (const one of [0x3f, 0x40, 0x41, 0x42]) IMMEDIATES[one] = 1; // memory.size, memory.grow, i32.const, i64.const
IMMEDIATES[CALL_INDIRECT] = 2;

/**
 * Moves past what follows an opcode. One that is not known would desynchronise all that follows it; one of bulk memory
 * could cost as much as millions of others.
 */
function skipImmediates(reader: Reader, opcode: number): void {
  const count = IMMEDIATES[opcode] ?? -1;
  if (count >= 0) reader.leb(count);
  else if (opcode === BR_TABLE) reader.leb(reader.u32() + 1);
  else if (opcode === F32_CONST) reader.bytes(4);
  else if (opcode === F64_CONST) reader.bytes(8);
  else throw new Error(`wasm: unknown opcode 0x${opcode.toString(16)}`);
}
