import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { createToolchain } from "../policy/toolchain.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { placed, readLayers } from "./layers.ts";
import { loadOrTell, type Printable, problemLines } from "./load.ts";
import { json } from "./print.ts";

export interface FmtOptions extends CommonOptions {
  readonly write?: boolean;
}

/** `portcullis fmt`: names the policy files that formatting changes; with `--write`, changes them. */
export async function fmt(options: FmtOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  const toolchain = createToolchain();
  const { layers, problems: unreadable } = await readLayers(config);
  const problems: Printable[] = [...unreadable];
  const changed: string[] = [];
  for (const { directory, sources } of layers) {
    const formatted = await toolchain.fmt(sources.files);
    if (!formatted.ok) problems.push(...formatted.problems.map((one) => placed(one, directory)));
    for (const [file, text] of Object.entries(formatted.ok ? formatted.changed : {})) {
      const path = join(directory, file);
      if (options.write) await writeFile(path, text);
      changed.push(relative(around.cwd, path));
    }
  }
  await toolchain.close();
  if (options.json) around.stdout.write(json({ changed, problems }));
  else around.stdout.write(changed.map((file) => `${file}\n`).join("") + problemLines(problems, around.cwd));
  return problems.length > 0 || (changed.length > 0 && !options.write) ? 1 : 0;
}
