import { expect, test } from "vitest";
import { Transients } from "../../src/lib/transients.ts";

test("a number and its text are different keys", () => {
  const map = new Transients<string>();
  map.set(7, "number");
  map.set("7", "text");
  expect([map.get(7), map.get("7"), map.size]).toEqual(["number", "text", 2]);
  map.delete(7);
  expect([map.has(7), map.get("7"), map.size]).toEqual([false, "text", 1]);
});

test("no name that a client chooses is one of the map's own", () => {
  const map = new Transients<string>();
  for (const name of ["__proto__", "constructor", "toString", "size", ""]) {
    expect([map.has(name), map.get(name)]).toEqual([false, undefined]);
    map.set(name, name);
    expect(map.get(name)).toBe(name);
  }
  expect(map.size).toBe(5);
});

test("what is set or taken out twice counts once", () => {
  const map = new Transients<number>();
  map.set("id", 1);
  map.set("id", 2);
  map.delete("other");
  expect([map.get("id"), map.size, map.values()]).toEqual([2, 1, [2]]);
  map.delete("id");
  map.delete("id");
  expect([map.size, map.values()]).toEqual([0, []]);
});

test("whoever is called may leave meanwhile, and the others are still called", () => {
  const map = new Transients<() => void>();
  const called: number[] = [];
  const leave = [1, 2, 3].map((number) =>
    map.add(() => {
      called.push(number);
      for (const one of leave) one();
    }),
  );
  for (const listener of map.values()) listener();
  expect([called, map.size]).toEqual([[1, 2, 3], 0]);
});
