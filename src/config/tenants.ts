import { dirname, join } from "node:path";
import { z } from "zod";
import type { TenantRecord } from "../domain.ts";
import { whyUnread } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject, valueAt } from "../lib/json.ts";
import { unknownRoles } from "./checks.ts";
import { readDocument, type SourceDocument } from "./document.ts";
import { type Validated, validate } from "./issues.ts";
import { type ConfigProblem, type Finding, inOrder, type Path } from "./problems.ts";
import { type Known, unknownTenantReferences } from "./references.ts";
import type { ParsedConfig } from "./schema.ts";
import { type TenantSection, tenant as tenantSchema } from "./sections/tenants.ts";
import { type DeepReadonly, relativeTo, tenantId } from "./values.ts";

/** A tenant, everything its files say read. */
export interface Tenant {
  readonly id: string;
  readonly record: TenantRecord;
  /** The folder of its own policies, or null. */
  readonly policies: string | null;
  readonly servers: readonly string[];
  /** By source: the roles it may use, and the longest lease in seconds. */
  readonly credentials: TenantSection["credentials"];
  /** Principal attributes by issuer and subject: two issuers may each have their own "ann". */
  readonly attributes: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>;
}

/** Tenants looked up by id, so that ten thousand cost no more than the one that asks. */
export interface Tenants {
  /** Of a folder also what was meant for one, by the file's name: who asks for it hears what is wrong. */
  ids(): Promise<readonly string[]>;
  /** Not ok without problems: there is no such tenant. */
  get(id: string): Promise<Validated<Tenant>>;
}

/** What `readFile` and `readDir` of node:fs/promises do, for text and names. */
export interface ConfigFiles {
  readFile(path: string): Promise<string>;
  readDir(path: string): Promise<readonly string[]>;
}

/** Checks a record against the operator's JSON Schema: what is wrong, and where in the record. */
export type RecordValidator = (schema: JsonObject, record: JsonObject) => readonly Omit<Finding, "code">[];

export interface TenantOptions {
  readonly tenants: DeepReadonly<ParsedConfig["tenants"]>;
  readonly sources: DeepReadonly<ParsedConfig["credentials"]>;
  readonly known: Known;
  /** The document in which inline tenants stand. */
  readonly document: SourceDocument;
  readonly recordSchema: JsonObject | null;
  readonly validateRecord: RecordValidator;
  readonly files: ConfigFiles;
}

const SUFFIX = ".yaml";
/** Others write it so: the tenant would not be known, and nobody be told. */
const ALMOST = /^[^.].*\.ya?ml$/i;

export function createTenants(options: TenantOptions): Tenants {
  const { tenants, files } = options;
  const found = new Map<string, Promise<Validated<Tenant>>>();
  const exists = (id: string): Promise<boolean> | boolean =>
    tenants.kind === "inline"
      ? Object.hasOwn(tenants.entries, id)
      : files.readFile(join(tenants.path, id + SUFFIX)).then(
          () => true,
          () => false,
        );

  const ids = async (): Promise<readonly string[]> => {
    if (tenants.kind === "inline") return Object.keys(tenants.entries);
    const names = (await files.readDir(tenants.path)).filter((name) => ALMOST.test(name));
    return names.map((name) => (name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name)).sort();
  };
  const misnamed = async (id: string): Promise<readonly ConfigProblem[]> => {
    if (tenants.kind === "inline" || !(await ids()).includes(id)) return [];
    const file = join(tenants.path, ALMOST.test(id) ? id : id + SUFFIX);
    const message =
      "a tenant's file is called ID.yaml, of lower-case letters, digits, single dashes and underscores";
    return [{ code: "invalid_value", message, file, row: 0, col: 0, hint: "" }];
  };

  return {
    ids,
    async get(id) {
      const known = found.get(id);
      if (known !== undefined) return known;
      // The id comes from a token: it must not reach outside the folder, nor fill the map.
      if (!tenantId.safeParse(id).success) return { ok: false, problems: await misnamed(id) };
      if (!(await exists(id))) return { ok: false, problems: [] };
      const loading = loadTenant(id, options);
      found.set(id, loading);
      return loading;
    },
  };
}

async function loadTenant(id: string, options: TenantOptions): Promise<Validated<Tenant>> {
  const source = await sectionOf(id, options);
  if (!source.ok) return source;
  const { section, document, base } = source.value;
  const at = (path: Path): Path => [...base, ...path];
  const record = await readRecord(id, section, { ...options, document, at });
  const attributes = await readAttributes(section, { ...options, document, at });
  const problems = [record, attributes].flatMap((part) => (part.ok ? [] : part.problems));
  if (!record.ok || !attributes.ok) return { ok: false, problems };
  const { policies = null, servers, credentials } = section;
  return {
    ok: true,
    value: { id, record: record.value, policies, servers, credentials, attributes: attributes.value },
  };
}

interface Section {
  readonly section: TenantSection;
  readonly document: SourceDocument;
  /** Where in the document it stands. */
  readonly base: Path;
}

async function sectionOf(id: string, options: TenantOptions): Promise<Validated<Section>> {
  const { tenants, document } = options;
  if (tenants.kind === "inline") {
    const section = tenants.entries[id];
    if (section === undefined) return { ok: false, problems: [] };
    return { ok: true, value: { section, document, base: ["tenants", id] } };
  }
  const file = join(tenants.path, id + SUFFIX);
  const own = readDocument(await options.files.readFile(file), file);
  if (own.problems.length > 0) return { ok: false, problems: own.problems };
  const parsed = validate(own, tenantSchema(relativeTo(dirname(file))));
  const unknown = unknownTenantReferences(own.value, options.known);
  const roles = parsed.ok ? unknownRoles(parsed.value.credentials, options.sources) : [];
  const problems = [...(parsed.ok ? [] : parsed.problems), ...[...unknown, ...roles].map(own.locate)];
  if (!parsed.ok || problems.length > 0) return { ok: false, problems: inOrder(problems) };
  return { ok: true, value: { section: parsed.value, document: own, base: [] } };
}

interface Reading extends TenantOptions {
  readonly document: SourceDocument;
  readonly at: (path: Path) => Path;
}

async function readRecord(
  id: string,
  section: TenantSection,
  reading: Reading,
): Promise<Validated<TenantRecord>> {
  const source =
    typeof section.record === "string"
      ? await readReferenced(section.record, reading.at(["record"]), reading.document, reading.files)
      : ok({
          value: section.record,
          locate: (one: Finding) =>
            reading.document.locate({ ...one, path: reading.at(["record", ...one.path]) }),
        });
  if (!source.ok) return source;
  const { value, locate } = source.value;
  if (!isJsonObject(value))
    return wrong(locate({ code: "record_invalid", path: [], message: "a record is a mapping" }));
  const { id: own = id, ...record } = value;
  const problems =
    own === id
      ? []
      : [locate({ code: "record_invalid", path: ["id"], message: `this record is not "${id}"'s` })];
  if (reading.recordSchema !== null) {
    for (const found of reading.validateRecord(reading.recordSchema, record)) {
      problems.push(locate({ code: "record_invalid", ...found }));
    }
  }
  return problems.length > 0 ? { ok: false, problems } : ok({ ...record, id });
}

const NONE: JsonObject = Object.freeze({});

/** What is known of a principal; nothing, where no attributes are given. A subject may be any text, "constructor" too. */
export function attributesOf(tenant: Tenant | undefined, issuer: string, subject: string): JsonObject {
  const found = valueAt(tenant?.attributes ?? NONE, [issuer, subject]);
  return isJsonObject(found) ? found : NONE;
}

const attributesSchema = z.record(z.string(), z.record(z.string(), z.record(z.string(), z.custom<Json>())));

async function readAttributes(
  section: TenantSection,
  reading: Reading,
): Promise<Validated<Tenant["attributes"]>> {
  if (section.attributes === undefined) return ok({});
  const { at, document, files } = reading;
  const source = await readReferenced(section.attributes, at(["attributes"]), document, files);
  return source.ok ? validate(source.value, attributesSchema) : source;
}

/** Another file that a document names, at this path of it; unreadable: said where it is named. */
export async function readReferenced(
  file: string,
  path: Path,
  document: SourceDocument,
  files: ConfigFiles,
): Promise<Validated<SourceDocument>> {
  let text: string;
  try {
    text = await files.readFile(file);
  } catch (thrown) {
    const message = `${file} cannot be read: ${whyUnread(thrown)}`;
    return wrong(document.locate({ code: "file_unreadable", path, message }));
  }
  const source = readDocument(text, file);
  return source.problems.length > 0 ? { ok: false, problems: source.problems } : ok(source);
}

function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

function wrong(problem: ConfigProblem): { readonly ok: false; readonly problems: readonly ConfigProblem[] } {
  return { ok: false, problems: [problem] };
}
