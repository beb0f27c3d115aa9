import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pc from "picocolors";
import { freePort } from "../demo/free-port.ts";
import { type Guide, tour } from "../demo/tour.ts";
import { openWorld } from "../demo/world.ts";
import type { Gateway, GatewayStatus } from "../gateway.ts";
import type { ExitCode, Output, Surroundings } from "./command.ts";
import { loadOrTell } from "./load.ts";
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
    const guide = guideTo(out);
    const url = running.gateway.urlOf("support");
    out.write(
      `\n${guide.bold("Portcullis")}  one guarded URL in front of ${upstreamsOf(running.gateway.status())}\n`,
    );
    out.write(`            ${guide.bold(url)}\n`);
    const good = await tour(running.gateway, world.config.audit.path, guide);
    out.write(good ? "\n" : `\n${guide.bad("Something was not as it should be.")}\n`);
    if (exit) return good ? 0 : 1;
    out.write(await farewell(running.gateway, url));
    await around.stopped;
    return good ? 0 : 1;
  } finally {
    await running.close();
    await world.close();
  }
}

function upstreamsOf({ catalog }: GatewayStatus): string {
  return catalog.upstreams
    .map(
      ({ name, protocol, targets, state }) =>
        `${name} (${state === "live" ? `${protocol.split(" ")[0]}, ${targets}` : state})`,
    )
    .join(", ");
}

export interface PrintingGuide extends Guide {
  bold(text: string): string;
  bad(text: string): string;
}

export function guideTo(out: Output): PrintingGuide {
  let widths: readonly number[] = [];
  const { bold, dim, green, red, yellow } = pc.createColors(out.isTTY === true);
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
      out.write(
        `           ${dim(told.code === "ok" ? (told.text.split("\n")[0]?.slice(0, 100) ?? "") : `${told.code}: ${told.text}`)}\n`,
      );
    },
  };
}

async function farewell({ token }: Pick<Gateway, "token">, url: string): Promise<string> {
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

Up until Ctrl-C.
`;
}

const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};
