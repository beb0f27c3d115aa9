import { createRequire } from "node:module";
import { HOST_BUILTINS } from "./builtins.ts";
import { FUEL, meter } from "./meter.ts";

// The package's ES module exports `loadPolicy` alone, whose host prints to stdout, rounds integers and brings
// builtins that throw on a client's value: only its `LoadedPolicy` is used, under a host of our own.
const { LoadedPolicy } = createRequire(import.meta.url)(
  "@open-policy-agent/opa-wasm",
) as typeof import("@open-policy-agent/opa-wasm");

const PAGE = 64 * 1024;
/** The first ABI (1.x) whose `opa_eval` does a whole evaluation. */
const ABI_MINOR = 2;
/** Of a builtin that the module has itself: the toolchain sends calls past it to the host. */
const HOST_PREFIX = /^__host\./;
/** For loading data once, off the request path: some ten seconds. */
const LOADING_STEPS = 0x7fffffff;

/** What one evaluation may use. */
export interface EvaluationLimits {
  /** Loop iterations and function calls of the compiled policy, at most 2^31 - 1; 100,000 take about a millisecond. */
  readonly steps: number;
  /** Bytes of WebAssembly memory, for data and evaluation together. */
  readonly memory: number;
}

/** A compiled policy with its data loaded: what instances are made from, cheaply. */
export interface Program {
  readonly module: WebAssembly.Module;
  readonly limits: EvaluationLimits;
  /** Pages of memory once the data was loaded. */
  readonly pages: number;
  /** The used part of that memory, copied into each new instance: parsing large data again would take seconds. */
  readonly image: Uint8Array;
  /** Address of `data` in it. */
  readonly data: number;
}

export interface Instance {
  /**
   * After any throw the instance is worthless: an abort or a trap leaves its stack pointer where it was.
   *
   * @param input JSON, checked before: the module takes malformed text for no input
   * @param now seconds since the epoch; all that the clock builtins know
   * @param steps the most that it may take
   * @returns undefined for Rego's undefined
   */
  evaluate(entrypoint: string, input: ArrayBuffer, now: number, steps: number): unknown;
  /** Steps left of the last evaluation; negative after it was cut. */
  readonly stepsLeft: number;
  /** Bytes of memory: grows, never shrinks. */
  readonly memory: number;
}

/** Compiles a module as OPA built it. @throws Error when it needs what this engine does not have */
export async function loadProgram(
  wasm: Uint8Array,
  data: string,
  limits: EvaluationLimits,
): Promise<Program> {
  const maximum = Math.floor(limits.memory / PAGE);
  const metered = meter(wasm, maximum);
  const module = await WebAssembly.compile(metered.wasm);
  const host = createHost(module, { initial: metered.minimumPages, maximum });
  host.fuel.value = LOADING_STEPS;
  host.policy.setData(jsonBuffer(data));
  const image = new Uint8Array(host.memory.buffer, 0, host.policy.dataHeapPtr).slice();
  const pages = host.memory.buffer.byteLength / PAGE;
  return { module, limits, pages, image, data: host.policy.dataAddr };
}

export function createInstance(program: Program): Instance {
  const maximum = Math.floor(program.limits.memory / PAGE);
  const { policy, memory, fuel, clock } = createHost(program.module, { initial: program.pages, maximum });
  new Uint8Array(memory.buffer).set(program.image);
  policy.dataAddr = program.data;
  policy.dataHeapPtr = program.image.byteLength;
  return {
    evaluate: (entrypoint, input, now, steps) => {
      clock.now = now;
      fuel.value = steps;
      const solutions: unknown = policy.evaluate(input, entrypoint);
      return Array.isArray(solutions)
        ? (solutions[0] as { result?: unknown } | undefined)?.result
        : undefined;
    },
    get stepsLeft() {
      return fuel.value;
    },
    get memory() {
      return memory.buffer.byteLength;
    },
  };
}

/** UTF-8 in a buffer of its own: the package takes only a real ArrayBuffer for JSON. */
export function jsonBuffer(text: string): ArrayBuffer {
  const bytes = new TextEncoder().encode(text);
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** The exports that the host calls (https://www.openpolicyagent.org/docs/wasm). */
interface OpaExports {
  readonly opa_wasm_abi_version: WebAssembly.Global;
  readonly opa_wasm_abi_minor_version: WebAssembly.Global;
  readonly [FUEL]: WebAssembly.Global;
  builtins(): number;
  opa_malloc(bytes: number): number;
  opa_json_parse(address: number, bytes: number): number;
  opa_json_dump(address: number): number;
}

function createHost(module: WebAssembly.Module, descriptor: WebAssembly.MemoryDescriptor) {
  const memory = new WebAssembly.Memory(descriptor);
  const clock = { now: 0 };
  const names = new Map<number, string>();
  const call = (id: number, _context: number, ...operands: number[]): number => {
    const args = operands.map((address) => stringAt(memory, opa.opa_json_dump(address)));
    const result = callBuiltin(names.get(id) ?? "", args, clock.now);
    return result === undefined ? 0 : loadValue(opa, memory, result);
  };
  const env = {
    memory,
    opa_abort: (address: number) => {
      throw new Error(stringAt(memory, address));
    },
    opa_println: () => {},
    opa_builtin0: call,
    opa_builtin1: call,
    opa_builtin2: call,
    opa_builtin3: call,
    opa_builtin4: call,
  };
  const instance = new WebAssembly.Instance(module, { env });
  const opa = instance.exports as unknown as OpaExports;
  const { value: major } = opa.opa_wasm_abi_version;
  const { value: minor } = opa.opa_wasm_abi_minor_version;
  if (major !== 1 || minor < ABI_MINOR) throw new Error(`policy module: unsupported ABI ${major}.${minor}`);
  for (const [name, id] of builtinsOf(opa, memory)) names.set(id, name);
  const policy = new LoadedPolicy({ instance, module }, memory, minor);
  return { policy, memory, fuel: opa[FUEL], clock };
}

/** Names and numbers of the builtins that the module calls: found missing now, not in the middle of a decision. */
function builtinsOf(opa: OpaExports, memory: WebAssembly.Memory): (readonly [name: string, id: number])[] {
  const table = JSON.parse(stringAt(memory, opa.opa_json_dump(opa.builtins()))) as Record<string, number>;
  const called = Object.entries(table).map(([name, id]) => [name.replace(HOST_PREFIX, ""), id] as const);
  const missing = called.map(([name]) => name).filter((name) => !Object.hasOwn(HOST_BUILTINS, name));
  if (missing.length > 0)
    throw new Error(`policy module: builtins that are missing here: ${missing.join(", ")}`);
  return called;
}

/** A throw through the module's frames would spoil the instance, so a builtin that fails is undefined, as in Rego. */
function callBuiltin(name: string, args: readonly string[], now: number): string | undefined {
  try {
    return HOST_BUILTINS[name]?.(args, now);
  } catch {
    return undefined;
  }
}

function loadValue(opa: OpaExports, memory: WebAssembly.Memory, json: string): number {
  const bytes = new TextEncoder().encode(json);
  const address = opa.opa_malloc(bytes.byteLength);
  new Uint8Array(memory.buffer).set(bytes, address);
  return opa.opa_json_parse(address, bytes.byteLength);
}

function stringAt(memory: WebAssembly.Memory, address: number): string {
  const bytes = new Uint8Array(memory.buffer);
  return new TextDecoder().decode(bytes.subarray(address, bytes.indexOf(0, address)));
}
