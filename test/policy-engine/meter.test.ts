import { afterAll, expect, test } from "vitest";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { FUEL, meter } from "../../src/policy/meter.ts";
import { build, context, LIMITS, NOW, target, toolchain } from "./world.ts";

afterAll(() => toolchain.close());

const REGO = `grant contains {"reason": "x"} if "support" in input.principal.roles`;
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const IMPORT_MEMORY = [0x02, 0x08, 0x01, 0x01, 0x61, 0x01, 0x62, 0x02, 0x00, 0x01];

/** A module of one exported function `() -> ()` with this body. */
function moduleOf(...body: number[]): Uint8Array {
  const type = [0x01, 0x04, 0x01, 0x60, 0x00, 0x00];
  const exported = [0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00];
  const code = [0x0a, body.length + 4, 0x01, body.length + 2, 0x00, ...body, 0x0b];
  return Uint8Array.from([...MAGIC, ...type, ...IMPORT_MEMORY, 0x03, 0x02, 0x01, 0x00, ...exported, ...code]);
}

function run(wasm: Uint8Array, steps: number): number {
  const module = new WebAssembly.Module(meter(wasm, 10).wasm);
  const instance = new WebAssembly.Instance(module, {
    a: { b: new WebAssembly.Memory({ initial: 1, maximum: 10 }) },
  });
  const counter = instance.exports[FUEL] as WebAssembly.Global;
  counter.value = steps;
  try {
    (instance.exports.f as () => void)();
  } catch {
    // cut
  }
  return counter.value;
}

test("a function that calls costs one step, and each turn of a loop another", () => {
  expect(run(moduleOf(), 5)).toBe(5);
  expect(run(moduleOf(0x03, 0x40, 0x0b), 5)).toBe(4);
  // It calls itself without end.
  expect(run(moduleOf(0x10, 0x00), 1000)).toBe(-1);
});

test("a loop without end is cut exactly when the steps are spent", () => {
  expect(run(moduleOf(0x03, 0x40, 0x0c, 0x00, 0x0b), 1000)).toBe(-1);
});

test("immediates that look like a loop are not taken for one", () => {
  // i32.const 3, drop; f64.const of bytes 03, drop; br_table with labels 0 0, default 0 in a block
  const body = [
    0x41, 0x03, 0x1a, 0x44, 3, 3, 3, 3, 3, 3, 3, 3, 0x1a, 0x02, 0x40, 0x41, 0x00, 0x0e, 2, 0, 0, 0, 0x0b,
  ];
  expect(run(moduleOf(...body), 5)).toBe(5);
});

test.each([
  ["bulk memory", [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0x00]],
  ["vectors", [0xfd, 0x0c]],
  ["exceptions", [0x06, 0x40]],
])("an opcode of %s is refused, not skipped", (_, body) => {
  expect(() => meter(moduleOf(...body), 10)).toThrow(/unknown opcode/);
});

test("what is not a module, is cut short, or brings its own memory is refused", async () => {
  const { wasm } = await build(REGO);
  expect(() => meter(new Uint8Array(16), 10)).toThrow(/module/);
  expect(() => meter(wasm.subarray(0, wasm.length - 100_000), 10)).toThrow(/truncated/);
  expect(() => meter(Uint8Array.from([...MAGIC, 0x05, 0x03, 0x01, 0x00, 0x01]), 10)).toThrow(/memory/);
  expect(() => meter(wasm, 1)).toThrow(/pages/);
});

test("a memory larger than the module's maximum does not fit it", () => {
  const module = new WebAssembly.Module(meter(moduleOf(), 10).wasm);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 11 });
  expect(() => new WebAssembly.Instance(module, { a: { b: memory } })).toThrow(/maximum/);
});

test("the module keeps its exports, and names stay valid", async () => {
  const { wasm } = await build(REGO);
  const names = (module: WebAssembly.Module) => WebAssembly.Module.exports(module).map(({ name }) => name);
  const plain = new WebAssembly.Module(wasm);
  const metered = new WebAssembly.Module(meter(wasm, 100).wasm);
  expect(names(metered)).toEqual([...names(plain), FUEL]);
});

test("an ordinary evaluation takes a few thousand steps, and one that is given fewer is cut", async () => {
  const { wasm } = await build(REGO);
  const program = await loadProgram(wasm, "{}", LIMITS);
  const input = jsonBuffer(JSON.stringify({ ...context(), targets: [target()] }));
  const instance = createInstance(program);
  instance.evaluate("portcullis/capabilities", input, NOW, LIMITS.steps);
  const taken = LIMITS.steps - instance.stepsLeft;
  expect(taken).toBeGreaterThan(200);
  expect(taken).toBeLessThan(20_000);
  expect(() => createInstance(program).evaluate("portcullis/capabilities", input, NOW, taken - 1)).toThrow(
    /unreachable/,
  );
  createInstance(program).evaluate("portcullis/capabilities", input, NOW, taken);
});

test("a policy whose names fill a page of memory can be loaded", async () => {
  const names = Array.from(
    { length: 600 },
    (_, i) => `a_rule_with_a_name_that_is_${"very_".repeat(16)}long_${i}`,
  );
  const policy = await build(`grant contains {"reason": "all of them"} if {
	${names.join("\n\t")}
}
${names.map((name) => `${name} if input.server != ""`).join("\n")}`);
  const program = await loadProgram(policy.wasm, "{}", LIMITS);
  const input = jsonBuffer(JSON.stringify({ ...context(), targets: [target()] }));
  expect(createInstance(program).evaluate("portcullis/capabilities", input, NOW, LIMITS.steps)).toMatchObject(
    [{ grants: [{ reason: "all of them" }] }],
  );
});
