import type { FormatDefinition } from "ajv";
import { fullFormats } from "ajv-formats/dist/formats.js";
import { spend } from "./steps.ts";

/** The pattern behind `url` backtracks in the square of the length: 20,000 characters took 0.4 s. */
const MAX_URL_LENGTH = 4096;

/** A value format of JSON Schema, by the definitions of ajv-formats in full mode. */
export interface Format {
  readonly name: string;
  /** What it is a format of; other types pass in JSON Schema, and are refused by a bound. */
  readonly type: "string" | "number";
  check(value: string | number): boolean;
}

type Source = (typeof fullFormats)[keyof typeof fullFormats];

export const FORMATS: ReadonlyMap<string, Format> = new Map(
  Object.entries(fullFormats).map(([name, source]) => [name, format(name, source)]),
);

function format(name: string, source: Source): Format {
  const definition = typeof source === "object" && "validate" in source ? source : { validate: source };
  const type = "type" in definition && definition.type === "number" ? "number" : "string";
  const { validate } = definition as { readonly validate: true | RegExp | ((value: unknown) => boolean) };
  const test =
    validate === true
      ? () => true
      : validate instanceof RegExp
        ? (value: unknown) => validate.test(String(value))
        : validate;
  if (name === "url") return { name, type, check: (value) => checkUrl(String(value), test) };
  const check = (value: string | number) => {
    if (typeof value === "string") spend(value.length);
    return test(value);
  };
  return { name, type, check };
}

function checkUrl(text: string, test: (text: string) => boolean): boolean {
  if (text.length > MAX_URL_LENGTH) return false;
  spend(text.length ** 2 / 16);
  return test(text);
}

/** The same formats for ajv. */
export function ajvFormats(): Record<string, FormatDefinition<string> | FormatDefinition<number>> {
  return Object.fromEntries(
    [...FORMATS.values()].map(({ name, type, check }) => [
      name,
      type === "number" ? { type, validate: check } : { type, validate: check },
    ]),
  );
}
