import type { Json } from "./json.ts";

/** A value's own room, and its place in what holds it. */
const PER_VALUE = 16;

/** About the bytes that a JSON value takes in memory, or as much of them as is over `most`. However deep it nests. */
export function weightOf(value: Json, most = Number.POSITIVE_INFINITY): number {
  const left: Json[] = [value];
  let weight = 0;
  for (let one = left.pop(); one !== undefined && weight <= most; one = left.pop()) {
    weight += PER_VALUE;
    if (typeof one === "string") weight += one.length;
    else if (typeof one === "object" && one !== null)
      for (const [key, inner] of Object.entries(one)) {
        weight += Array.isArray(one) ? 0 : key.length;
        left.push(inner);
      }
  }
  return weight;
}
