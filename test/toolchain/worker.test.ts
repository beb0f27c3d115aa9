import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { REFUND, sources, toolchain } from "./support.ts";

const good = sources({ "a.rego": REFUND });

function nested(depth: number): JsonObject {
  let value: Json = 1;
  for (let i = 0; i < depth; i++) value = { a: value };
  return { a: value };
}

test("a test that runs too long is cut, and the next request is answered", async () => {
  const impatient = createToolchain({ testDeadlineMs: 1500 });
  const loop =
    "package t\ntest_loop if { some a in data.x; some b in data.x; some c in data.x; a + b + c < 0 }";
  const data = { x: Array.from({ length: 3000 }, (_, i) => i) };
  const started = performance.now();
  const tested = impatient.test(sources({ "a.rego": REFUND, "a_test.rego": loop }, data));
  const next = impatient.check(good);
  expect(await tested).toMatchObject({ ok: false, problems: [{ code: "toolchain_timeout" }] });
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(await next).toEqual({ ok: true, problems: [] });
  await impatient.close();
});

test("deeply nested sources are a problem and not the end", async () => {
  for (const depth of [99_000, 200_000]) {
    const deep = `package authz\np := ${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(await toolchain.check(sources({ "a.rego": deep }))).toMatchObject({ ok: false });
    expect(await toolchain.check(good)).toEqual({ ok: true, problems: [] });
  }
});

test("what is beyond a limit never reaches the toolchain", async () => {
  const code = async (given: Parameters<typeof toolchain.check>[0]) =>
    (await toolchain.check(given)).problems[0]?.code;
  expect(await code(sources({ "a.rego": REFUND }, nested(200)))).toBe("limit_exceeded");
  expect(await code(sources({ "a.rego": REFUND }, nested(200_000)))).toBe("limit_exceeded");
  expect(await code({ ...good, tenantSchema: nested(200) })).toBe("limit_exceeded");
  expect(await code(sources({ "a.rego": `package a\n# ${"x".repeat(8 * 1024 * 1024)}` }))).toBe(
    "limit_exceeded",
  );
  expect(await code(sources({ "a.yaml": "package a" }))).toBe("limit_exceeded");
  const many = Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`${i}.rego`, "package a"]));
  expect(await code(sources(many))).toBe("limit_exceeded");
  expect(await toolchain.eval(good, { input: nested(200) })).toMatchObject({
    problems: [{ code: "limit_exceeded" }],
  });
});

test("requests at once are answered one by one, each with its own answer", async () => {
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) => toolchain.eval(good, { query: `x := ${i}`, input: {} })),
  );
  for (const [i, answer] of answers.entries()) {
    expect(answer).toMatchObject({ report: { results: [{ bindings: { x: i } }] } });
  }
});

test("an idle worker is ended, and the next request starts another", async () => {
  const restless = createToolchain({ idleMs: 0 });
  for (let i = 0; i < 4; i++) {
    expect((await restless.check(good)).ok).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, i * 2));
  }
  await restless.close();
});

test("after close, waiting and later requests fail at once", async () => {
  const closing = createToolchain();
  const waiting = [closing.check(good), closing.check(good)];
  await closing.close();
  const settled = await Promise.allSettled(waiting);
  expect(settled.every((s) => s.status === "rejected" || !s.value.ok)).toBe(true);
  await expect(closing.check(good)).rejects.toThrow("closed");
});
