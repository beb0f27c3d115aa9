import { dirname } from "node:path";
import type { z } from "zod";
import { toPortcullisError, whyUnread } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { isLoopback } from "../lib/loopback.ts";
import { conflicts } from "./checks.ts";
import { readDocument, type SourceDocument } from "./document.ts";
import { type Validated, validate } from "./issues.ts";
import { type ConfigProblem, inOrder } from "./problems.ts";
import { knownNames, OF_USERS, unknownNames, unknownReferences } from "./references.ts";
import { configSchema, type ParsedConfig } from "./schema.ts";
import { isSampleSecret, nameOf, resolveSecret, type SecretRef, secretsIn } from "./secret.ts";
import { users as usersSchema } from "./sections/authorization-server.ts";
import {
  type ConfigFiles,
  createTenants,
  type RecordValidator,
  readReferenced,
  type Tenants,
} from "./tenants.ts";
import { type DeepReadonly, relativeTo } from "./values.ts";

type Users = DeepReadonly<z.output<typeof usersSchema>>;

/** A portcullis.yaml with every default in place, every path absolute and every file it names read. */
export interface Config
  extends Omit<DeepReadonly<ParsedConfig>, "authorization_server" | "policies" | "tenants"> {
  readonly file: string;
  readonly authorization_server: { readonly users: Users } | null;
  readonly policies: {
    readonly path: string;
    /** JSON Schema of every tenant's record, without its id. */
    readonly tenant_schema: JsonObject | null;
  };
  readonly tenants: Tenants;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export interface LoadOptions extends ConfigFiles {
  readonly validateRecord: RecordValidator;
  /** Given: every secret reference must resolve, and to no sample. Without (`check` elsewhere): they are not looked up. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Checks the text of a portcullis.yaml; reads nothing. Paths become absolute relative to `file`. */
export function parseConfig(
  text: string,
  file: string,
):
  | { readonly ok: true; readonly config: DeepReadonly<ParsedConfig> }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] } {
  const { result } = parse(text, file);
  return result.ok ? { ok: true, config: result.value } : result;
}

/** Reads a portcullis.yaml and what it names; of tenants in a folder only those that are asked for. Never rejects. */
export async function loadConfig(file: string, options: LoadOptions): Promise<ConfigResult> {
  let text: string;
  try {
    text = await options.readFile(file);
  } catch (thrown) {
    const unreadable = {
      code: "file_unreadable",
      message: `cannot be read: ${whyUnread(thrown)}`,
      file,
      row: 0,
      col: 0,
      hint: "name the configuration with -c FILE",
    } as const;
    return { ok: false, problems: [unreadable] };
  }
  const { result, document } = parse(text, file);
  return result.ok ? completed(result.value, document, file, options) : result;
}

function parse(
  text: string,
  file: string,
): { readonly result: Validated<DeepReadonly<ParsedConfig>>; readonly document: SourceDocument } {
  const document = readDocument(text, file);
  if (document.value === undefined) return { result: { ok: false, problems: document.problems }, document };
  const parsed = validate(document, configSchema(relativeTo(dirname(file))));
  const found = [...unknownReferences(document.value), ...(parsed.ok ? conflicts(parsed.value) : [])];
  const problems = [
    ...document.problems,
    ...(parsed.ok ? [] : parsed.problems),
    ...found.map(document.locate),
  ];
  return {
    result: parsed.ok && problems.length === 0 ? parsed : { ok: false, problems: inOrder(problems) },
    document,
  };
}

async function completed(
  parsed: DeepReadonly<ParsedConfig>,
  document: SourceDocument,
  file: string,
  options: LoadOptions,
): Promise<ConfigResult> {
  const users = await readUsers(parsed, document, options);
  const recordSchema = await readRecordSchema(parsed, document, options);
  const secrets = await secretProblems(parsed, document, options);
  const tenants = createTenants({
    tenants: parsed.tenants,
    sources: parsed.credentials,
    known: knownNames(document.value),
    document,
    recordSchema: recordSchema.ok ? recordSchema.value : null,
    validateRecord: options.validateRecord,
    files: options,
  });
  const inline = parsed.tenants.kind === "inline" ? await tenants.ids() : [];
  const loaded = await Promise.all(inline.map((id) => tenants.get(id)));
  const problems = [users, recordSchema, ...loaded]
    .flatMap((part) => (part.ok ? [] : part.problems))
    .concat(secrets);
  if (!users.ok || !recordSchema.ok || problems.length > 0) return { ok: false, problems: inOrder(problems) };
  return {
    ok: true,
    config: {
      ...parsed,
      file,
      authorization_server: users.value === null ? null : { users: users.value },
      policies: { path: parsed.policies.path, tenant_schema: recordSchema.value },
      tenants,
    },
  };
}

async function readUsers(
  { authorization_server: server }: DeepReadonly<ParsedConfig>,
  document: SourceDocument,
  files: ConfigFiles,
): Promise<Validated<Users | null>> {
  if (server === undefined) return { ok: true, value: null };
  if (typeof server.users !== "string") return { ok: true, value: server.users };
  const read = await readReferenced(server.users, ["authorization_server", "users"], document, files);
  if (!read.ok) return read;
  const source = read.value;
  const parsed = validate(source, usersSchema);
  const unknown = unknownNames(source.value, OF_USERS, knownNames(document.value)).map(source.locate);
  if (parsed.ok && unknown.length === 0) return parsed;
  return { ok: false, problems: [...(parsed.ok ? [] : parsed.problems), ...unknown] };
}

async function readRecordSchema(
  { policies }: DeepReadonly<ParsedConfig>,
  document: SourceDocument,
  files: ConfigFiles,
): Promise<Validated<JsonObject | null>> {
  if (policies.tenant_schema === undefined) return { ok: true, value: null };
  const read = await readReferenced(policies.tenant_schema, ["policies", "tenant_schema"], document, files);
  if (!read.ok) return read;
  const { value, locate } = read.value;
  if (isJsonObject(value)) return { ok: true, value };
  const problem = locate({ code: "wrong_type", path: [], message: "a JSON Schema is a mapping" });
  return { ok: false, problems: [problem] };
}

async function secretProblems(
  { upstreams, listen, signing_key, credentials, accounts, sessions, vaults }: DeepReadonly<ParsedConfig>,
  document: SourceDocument,
  { env, readFile }: LoadOptions,
): Promise<ConfigProblem[]> {
  if (env === undefined) return [];
  const demo = isLoopback(new URL(listen.public_url).hostname);
  const ofUpstreams = Object.entries(upstreams).flatMap(([upstream, given]) =>
    given.transport === "http"
      ? []
      : Object.entries(given.env).map(([name, value]) => ({
          path: ["upstreams", upstream, "env", name],
          value,
        })),
  );
  const ofGateway = signing_key === undefined ? [] : [{ path: ["signing_key"], value: signing_key }];
  const problems = await Promise.all(
    [...ofUpstreams, ...ofGateway, ...secretsIn({ credentials, accounts, sessions, vaults })].map(
      async ({ path, value }) => {
        if (typeof value === "string") return [];
        return (await secretProblem(value, { env, readFile, demo })).map((one) =>
          document.locate({ ...one, path }),
        );
      },
    ),
  );
  return problems.flat();
}

async function secretProblem(
  ref: SecretRef,
  { demo, ...store }: Parameters<typeof resolveSecret>[1] & { readonly demo: boolean },
): Promise<{ readonly code: "secret_missing" | "insecure"; readonly message: string }[]> {
  try {
    const secret = await resolveSecret(ref, store);
    if (demo || !isSampleSecret(secret)) return [];
    return [{ code: "insecure", message: `${nameOf(ref)} holds a sample secret that everyone knows` }];
  } catch (thrown) {
    return [{ code: "secret_missing", message: toPortcullisError(thrown).reason }];
  }
}
