import { resolve } from "node:path";
import { z } from "zod";
import { isSecureUrl } from "../lib/loopback.ts";

/** Turns a path of the file into an absolute one. */
export type ToAbsolute = (path: string) => string;

/** Paths stand relative to the file that names them. */
export function relativeTo(directory: string): ToAbsolute {
  return (path) => resolve(directory, path);
}

/**
 * A name that becomes part of URLs, tool names (`upstream__tool`) and file names. Without underscores, so that the
 * first `__` of a tool name always ends the upstream's name and two upstreams can never announce the same name.
 */
export const name = z
  .string()
  .max(32)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "use lower-case letters, digits and single dashes");

export const tenantId = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]+([-_][a-z0-9]+)*$/, "use lower-case letters, digits, single dashes and underscores");

const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Bytes: a number, or with a binary unit such as `64Mi`. */
export const size = z
  .union([
    z.int().positive(),
    z.string().regex(/^[1-9][0-9]{0,8}(Ki|Mi|Gi)$/, "write a number of bytes, or such as 64Mi"),
  ])
  .transform((value) => {
    if (typeof value === "number") return value;
    return Number.parseInt(value, 10) * (UNITS[value.slice(-2)] ?? 1);
  })
  .describe("Bytes: a number, or such as 64Mi.");

/** A whole number of milliseconds; timers of Node wrap beyond 2^31 - 1. */
export const milliseconds = z.int().positive().max(2_147_483_647);
export const seconds = z.int().positive().max(31_536_000);
export const count = z.int().positive().max(1_000_000_000);

export const httpUrl = z
  .url({ protocol: /^https?$/, error: "write an http:// or https:// URL" })
  .refine((url) => !hasUserInfo(url), "no user name or password in a URL: it would reach logs")
  .refine((url) => !url.includes("#"), "no fragment in this URL");

/** @param why what would come of plain http beyond this machine */
export function secureUrl(why: string) {
  return httpUrl.refine((url) => !URL.canParse(url) || isSecureUrl(new URL(url)), {
    params: { code: "insecure" },
    error: `this URL must be https: ${why}`,
  });
}

export const labels = z.array(name).readonly();

export const words = z.array(z.string().min(1).max(256)).readonly();

export function path(absolute: ToAbsolute) {
  return z.string().min(1).transform(absolute).describe("Relative to this file.");
}

function hasUserInfo(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  return username !== "" || password !== "";
}

export type DeepReadonly<T> = T extends (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;
