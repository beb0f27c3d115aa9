import { z } from "zod";
import { PortcullisError, whyUnread } from "../lib/errors.ts";
import { Secret } from "../lib/secret.ts";
import type { ToAbsolute } from "./values.ts";

/** Where a secret is kept; the configuration itself holds none. */
export type SecretRef =
  | { readonly kind: "env"; readonly name: string }
  | { readonly kind: "file"; readonly path: string };

export interface SecretStore {
  readonly env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): Promise<string>;
}

/** `env:NAME` or `file:PATH`. */
export function secretRef(absolute: ToAbsolute) {
  return z
    .string()
    .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, "write env:NAME or file:PATH")
    .transform((text) => toSecretRef(text, absolute))
    .describe("Where the secret is kept: env:NAME or file:PATH.");
}

export function toSecretRef(text: string, absolute: ToAbsolute): SecretRef {
  const rest = text.slice(text.indexOf(":") + 1);
  return text.startsWith("env:") ? { kind: "env", name: rest } : { kind: "file", path: absolute(rest) };
}

/** The secret itself; a file's last line end is no part of it. Throws `internal`, naming the place and never the value. */
export async function resolveSecret(ref: SecretRef, store: SecretStore): Promise<Secret> {
  const value = ref.kind === "env" ? store.env[ref.name] : await fileSecret(ref.path, store);
  if (value === undefined || value === "") {
    throw new PortcullisError("internal", { reason: `${nameOf(ref)} is not set or empty` });
  }
  return new Secret(value);
}

async function fileSecret(path: string, store: SecretStore): Promise<string> {
  try {
    return (await store.readFile(path)).replace(/\r?\n$/, "");
  } catch (cause) {
    const reason = `the secret file ${path} cannot be read: ${whyUnread(cause)}`;
    throw new PortcullisError("internal", { reason, cause });
  }
}

export function nameOf(ref: SecretRef): string {
  return ref.kind === "env" ? `environment variable ${ref.name}` : `file ${ref.path}`;
}

const SAMPLES = new Set(
  "changeme change-me change_me secret password passw0rd test testing demo sample example default admin root letmein 123456 12345678 xxx todo your-token your-secret".split(
    " ",
  ),
);

/** What ships in examples and tutorials, and is therefore known to everyone. */
export function isSampleSecret(secret: Secret): boolean {
  const value = secret.reveal().trim().toLowerCase();
  return SAMPLES.has(value) || /^(.)\1*$/.test(value);
}

/** A part of the configuration, each reference in it replaced by its secret. */
export type Resolved<T> = T extends SecretRef
  ? Secret
  : T extends readonly (infer Item)[]
    ? readonly Resolved<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: Resolved<T[Key]> }
      : T;

/** Rejects as `resolveSecret` does. */
export async function resolveSecrets<T>(part: T, store: SecretStore): Promise<Resolved<T>>;
export async function resolveSecrets(part: unknown, store: SecretStore): Promise<unknown> {
  if (isSecretRef(part)) return resolveSecret(part, store);
  if (Array.isArray(part)) return Promise.all(part.map((item) => resolveSecrets(item, store)));
  if (!isObject(part)) return part;
  const members = Object.entries(part).map(async ([key, value]) => [key, await resolveSecrets(value, store)]);
  return Object.fromEntries(await Promise.all(members));
}

/** Every reference in a part of the configuration, and where it stands. */
export function secretsIn(
  part: unknown,
  path: readonly (string | number)[] = [],
): { readonly path: readonly (string | number)[]; readonly value: SecretRef }[] {
  if (isSecretRef(part)) return [{ path, value: part }];
  if (Array.isArray(part)) return part.flatMap((item, index) => secretsIn(item, [...path, index]));
  return isObject(part)
    ? Object.entries(part).flatMap(([key, value]) => secretsIn(value, [...path, key]))
    : [];
}

function isSecretRef(value: unknown): value is SecretRef {
  if (!isObject(value)) return false;
  const { kind, name, path } = value;
  return (kind === "env" && typeof name === "string") || (kind === "file" && typeof path === "string");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
