#!/usr/bin/env node
import { Command } from "commander";
import type { ExitCode, Surroundings } from "./commands/command.ts";
import { toPortcullisError } from "./lib/errors.ts";
import { createLog } from "./operation/log.ts";

const stopped = new Promise<void>((resolve) => {
  process.once("SIGINT", () => resolve());
  process.once("SIGTERM", () => resolve());
});

const around: Surroundings = {
  env: process.env,
  cwd: process.cwd(),
  stdout: process.stdout,
  stderr: process.stderr,
  stopped,
  createLog,
};

type Run<Options> = (options: Options, around: Surroundings) => Promise<ExitCode>;

/** Each command is loaded when it is asked for: `token` need not wait for the policy engine. */
const program = new Command("portcullis")
  .description("An authorization proxy for MCP: one guarded URL in front of many servers.")
  .showHelpAfterError()
  .exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : 2);
  });

function command(spec: string, description: string): Command {
  return program
    .command(spec)
    .description(description)
    .option("-c, --config <file>", "the configuration", "portcullis.yaml")
    .option("--json", "print JSON for programs");
}

function runs<Options>(load: () => Promise<Run<Options>>) {
  return async (...given: unknown[]) => {
    const self = given.at(-1) as Command;
    const options = { ...self.opts(), arguments: self.args } as Options;
    try {
      process.exitCode = await (await load())(options, around);
    } catch (thrown) {
      const { code, reason, text, cause } = toPortcullisError(thrown);
      const why = reason || (cause instanceof Error ? cause.message : text);
      process.stderr.write(`portcullis: ${code}: ${why}\n`);
      process.exitCode = 2;
    }
  };
}

command("serve", "guard the configured servers until stopped").action(
  runs(async () => (await import("./commands/serve.ts")).serve),
);

program
  .command("demo")
  .description("a sample company behind one guarded URL, and a tour of it")
  .option("--exit", "end after the tour, non-zero if anything was not as it should be")
  .option("--port <port>", "where to listen, if it is free", "8080")
  .action(runs(async () => (await import("./commands/demo.ts")).demo));

await program.parseAsync();
