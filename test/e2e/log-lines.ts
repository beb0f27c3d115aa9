import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { recordSchema } from "../../src/audit/record-schema.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
const schema = recordSchema();
const kinds = schema.oneOf as unknown as readonly Kind[];
const fits = ajv.compile(schema);

interface Kind {
  readonly properties: { readonly phase: { readonly const: string } };
}

/** Throws for a line of a decision log that is not what `portcullis schema record` says. */
export function checkLines(log: string): void {
  const names = statSync(log, { throwIfNoEntry: false })?.isDirectory()
    ? readdirSync(log).filter((name) => name.endsWith(".jsonl"))
    : [];
  for (const name of names) {
    const lines = readFileSync(join(log, name), "utf8").split("\n");
    // What stands after the last line's end was not written whole.
    for (const line of lines.slice(0, -1)) {
      const entry = JSON.parse(line) as JsonObject;
      if (!fits(entry)) throw new Error(`a line of the log that its schema refuses: ${why(entry)}\n${line}`);
    }
  }
}

/** By the kind of line that it says it is: the others refuse it anyway. */
function why(entry: JsonObject): string {
  const kind = kinds.find(({ properties }) => properties.phase.const === entry.phase);
  if (kind === undefined) return `phase ${JSON.stringify(entry.phase)}`;
  ajv.validate(kind, entry);
  return ajv.errorsText();
}
