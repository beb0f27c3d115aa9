import { recordSchema } from "../audit/record-schema.ts";
import { load } from "../compose/load.ts";
import { configJsonSchema } from "../config/schema.ts";
import { caseSchema } from "../golden/case.ts";
import type { JsonObject } from "../lib/json.ts";
import { inputSchema } from "../policy/input-schema.ts";
import { grantSchema, limitSchema } from "../policy/output-schema.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { columns, json } from "./print.ts";

const SCHEMAS: Readonly<Record<string, { readonly about: string; schema(tenant: JsonObject): JsonObject }>> =
  {
    config: { about: "portcullis.yaml", schema: configJsonSchema },
    input: { about: "what policies see, with this configuration's tenant record", schema: inputSchema },
    grant: { about: "an element of authz.grant", schema: grantSchema },
    limit: { about: "an element of authz.limit", schema: limitSchema },
    record: { about: "a line of the decision log", schema: recordSchema },
    case: { about: "a golden case", schema: caseSchema },
  };

/** `portcullis schema [NAME]`: the published JSON Schemas. */
export async function schema(
  options: CommonOptions & { readonly arguments: readonly string[] },
  around: Surroundings,
): Promise<ExitCode> {
  const [name] = options.arguments;
  if (name === undefined) {
    const names = Object.entries(SCHEMAS).map(([name, { about }]) => [name, about]);
    around.stdout.write(options.json ? json(names.map(([name]) => name)) : columns(names));
    return 0;
  }
  const found = Object.hasOwn(SCHEMAS, name) ? SCHEMAS[name] : undefined;
  if (found === undefined) {
    around.stderr.write(`portcullis: there is no schema "${name}": ${Object.keys(SCHEMAS).join(", ")}\n`);
    return 2;
  }
  // Without a configuration a record is whatever has an id.
  const loaded = name === "input" ? await load(options, around, { secrets: false }) : null;
  const tenant = loaded?.ok ? loaded.config.policies.tenant_schema : null;
  around.stdout.write(json(found.schema(tenant ?? {})));
  return 0;
}
