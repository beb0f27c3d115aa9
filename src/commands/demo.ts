import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../demo/free-port.ts";
import { type Guide, tour } from "../demo/tour.ts";
import { openWorld } from "../demo/world.ts";
import type { Gateway, GatewayStatus } from "../gateway.ts";
import type { ExitCode, Surroundings } from "./command.ts";
import { loadOrTell } from "./load.ts";
import { type Paint, paintFor } from "./print.ts";
import { start } from "./serve.ts";

export interface DemoOptions {
  /** End after the tour, non-zero if anything was not as it should be. */
  readonly exit?: boolean;
  readonly port: number;
}

const EXAMPLE = join(
  dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
  "examples/acme-and-globex/portcullis.yaml",
);

/** `portcullis demo`: a company to try it on, a tour through it, and a guarded URL that stays up. */
export async function demo({ exit, port }: DemoOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell({ config: EXAMPLE }, around, { secrets: true });
  if (config === null) return 2;
  const world = await openWorld(config, await freePort(port));
  const quiet = { ...around, createLog: () => around.createLog("error") };
  const running = await start(world.config, quiet).catch(async (error: unknown) => {
    await world.close();
    throw error;
  });
  try {
    const out = around.stdout;
    const guide = guideTo(around);
    const url = running.gateway.urlOf("support");
    const { upstreams } = running.gateway.status().catalog;
    out.write(`\n${guide.bold("Portcullis")}  one guarded URL in front of ${erasOf(upstreams)}\n`);
    out.write(`            ${guide.bold(url)}\n`);
    const good = await tour(running.gateway, world.config.audit.path, guide);
    out.write(good ? "\n" : `\n${guide.bad("Something was not as it should be.")}\n`);
    if (exit) return good ? 0 : 1;
    out.write(await farewell(running.gateway, url, relative(around.cwd, EXAMPLE)));
    await around.stopped;
    return good ? 0 : 1;
  } finally {
    await running.close();
    await world.close();
  }
}

/** `1 modern and 3 legacy servers`. */
function erasOf(upstreams: GatewayStatus["catalog"]["upstreams"]): string {
  const eras = upstreams.map(({ protocol, state }) => (state === "live" ? protocol.split(" ")[0] : state));
  const counts = [...new Set(eras)].map((era) => `${eras.filter((one) => one === era).length} ${era}`);
  return `${counts.join(" and ")} servers`;
}

export interface PrintingGuide extends Guide {
  bold(text: string): string;
  bad(text: string): string;
}

/** What was told stands below what was tried, and a terminal has 80 columns. */
const INDENT = " ".repeat(11);
const TOLD_WIDTH = 80 - INDENT.length;

/** Prints a tour to stdout. */
export function guideTo(around: Pick<Surroundings, "stdout" | "env">): PrintingGuide {
  let widths: readonly number[] = [];
  const { stdout: out } = around;
  const { bold, dim, green, red, yellow }: Paint = paintFor(around);
  return {
    bold,
    bad: red,
    heading(text, columns = []) {
      widths = columns;
      out.write(`\n${bold(text)}\n`);
    },
    row: (cells) =>
      void out.write(
        `  ${cells
          .map((cell, index) => cell.padEnd(widths[index] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
      ),
    step(tried, told, asItShouldBe) {
      const verdict = told.ok ? green("allowed") : yellow("refused");
      out.write(`  ${verdict}  ${tried}${asItShouldBe ? "" : red("   ← not as it should be")}\n`);
      const lines = told.code === "ok" ? [beginning(told.text)] : wrapped(`${told.code}: ${told.text}`);
      for (const line of lines) out.write(`${INDENT}${dim(line)}\n`);
    },
  };
}

function beginning(text: string): string {
  const [line = "", ...more] = text.split("\n");
  return more.length > 0 || line.length > TOLD_WIDTH ? `${line.slice(0, TOLD_WIDTH - 2)} …` : line;
}

function wrapped(text: string): readonly string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length > TOLD_WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

async function farewell({ token }: Pick<Gateway, "token">, url: string, config: string): Promise<string> {
  const bearer = (await token("ann", "support")).reveal();
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: META } });
  const client = JSON.stringify({ mcpServers: { support: { type: "http", url } } }, null, 2);
  return `Try it, as ann for ten minutes:

  curl -s ${url} \\
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\
    -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/list' \\
    -H 'Authorization: Bearer ${bearer}' \\
    -d '${body}'

or give the URL to your client, and choose a sample user in the browser:

${client}

or be its operator, and its auditor of what stands above:

  portcullis status -c ${config}
  portcullis audit verify -c ${config}
  portcullis audit show NUMBER -c ${config}

Up until Ctrl-C.
`;
}

const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};
