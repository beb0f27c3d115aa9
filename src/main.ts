#!/usr/bin/env node
import { userInfo } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Command, InvalidArgumentError } from "commander";
import type { ExitCode, Surroundings } from "./commands/command.ts";
import { toPortcullisError } from "./lib/errors.ts";
import { version } from "./lib/version.ts";
import { createLog } from "./operation/log.ts";

// V8 learns from requests that were open during a collection to make such objects in old space at once. There each keeps
// the next ones alive until a full collection (measured: 14 KB of every call, a quarter of the throughput).
setFlagsFromString("--no-allocation-site-pretenuring");

// `portcullis schema config | head` ends when it has seen enough, and nothing is wrong then.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const stopped = new Promise<void>((resolve) => {
  process.once("SIGINT", () => resolve());
  process.once("SIGTERM", () => resolve());
});

const around: Surroundings = {
  env: process.env,
  cwd: process.cwd(),
  pid: process.pid,
  user: userInfo().username,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  stopped,
  createLog,
};

type Run<Options> = (options: Options, around: Surroundings) => Promise<ExitCode>;

/** Each command is loaded when it is asked for: `token` need not wait for the policy engine. */
const program = new Command("portcullis")
  .description("An authorization proxy for MCP: one guarded URL in front of many servers.")
  .version(version, "--version")
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

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError("It is a number up to 65535.");
  return port;
}

command("serve", "guard the configured servers until stopped").action(
  runs(async () => (await import("./commands/serve.ts")).serve),
);

command("stdio", "guard one virtual server for a local client, over stdin and stdout")
  .option("--server <name>", "the virtual server; needed where there are several")
  .action(async (...given: unknown[]) => {
    await runs(async () => (await import("./commands/stdio.ts")).stdio)(...given);
    // Its client may hold the input open, or have read nothing: either would keep the process.
    process.exit();
  });

command("check", "check the configuration and the policies, each against the other").action(
  runs(async () => (await import("./commands/check.ts")).check),
);

command("test", "run the policies' own tests, and the golden cases through the real gate")
  .option("--coverage", "name the rows that no test covers")
  .option("--run <regex>", "only tests and cases whose name matches")
  .option("--cases <folder>", "the golden cases; cases/ beside the configuration by default")
  .action(runs(async () => (await import("./commands/test.ts")).test));

command("eval", "what the policies say of an input: its capability, or the answer to a Rego query")
  .argument("[query]")
  .option("--user <name>", "a sample user")
  .option("--target <upstream:name>", "what the user asks for, as it is pinned")
  .option("--kind <kind>", "of the target; tool by default")
  .option("--server <name>", "the virtual server; the first by default")
  .option("--args <json>", "the call's arguments, for requirements")
  .option("--input <file>", "a whole input instead; - reads it from stdin")
  .option("--tenant <id>", "that tenant's own layer alone")
  .action(runs(async () => (await import("./commands/eval.ts")).evaluate));

command("status", "what the running gateway says of itself; 1 if something needs a person").action(
  runs(async () => (await import("./commands/status.ts")).status),
);

command("pin", "approve a changed definition, or see what is pinned")
  .argument("[upstream]")
  .argument("[target]")
  .option("--kind <kind>", "tool, resource, template or prompt; tool by default")
  .option("--list", "what is pinned, and what waits for approval")
  .option("--all", "ask every upstream, and pin what it announces now")
  .action(runs(async () => (await import("./commands/pin.ts")).pin));

command("tenant", "suspend ID, resume ID, or list: which tenants are served nothing")
  .argument("<verb>")
  .argument("[id]")
  .option("--reason <text>", "for the record")
  .action(runs(async () => (await import("./commands/tenant.ts")).tenant));

command("accounts", "list, unlink ACCOUNT, or shred: the accounts that a tenant's users linked")
  .argument("<verb>")
  .argument("[account]")
  .option("--tenant <id>", "whose")
  .option("--issuer <url>", "of the user's tokens; needed where there are several")
  .option("--subject <name>", "the user, as their issuer names them")
  .option("--reason <text>", "for the record")
  .option("--yes", "shred without being asked")
  .action(runs(async () => (await import("./commands/accounts.ts")).accounts));

command(
  "audit",
  "verify: whether the decision log is whole; show ID (or its number): all that it says of one decision",
)
  .argument("<verb>")
  .argument("[id]")
  .option("--log <folder>", "a log elsewhere, such as a copy; no configuration is needed then")
  .action(runs(async () => (await import("./commands/audit.ts")).audit));

command("token", "a token for a sample user")
  .argument("<user>")
  .option("--server <name>", "the virtual server; needed where there are several")
  .action(runs(async () => (await import("./commands/token.ts")).token));

command("schema", "the JSON Schemas of configuration, input, grants, records and cases")
  .argument("[name]")
  .action(runs(async () => (await import("./commands/schema.ts")).schema));

command("fmt", "name the policy files that formatting changes")
  .option("--write", "change them")
  .action(runs(async () => (await import("./commands/fmt.ts")).fmt));

program
  .command("demo")
  .description("a sample company behind one guarded URL, and a tour of it")
  .option("--exit", "end after the tour, non-zero if anything was not as it should be")
  .option("--port <port>", "where to listen, if it is free", portOf, 8080)
  .action(runs(async () => (await import("./commands/demo.ts")).demo));

program
  .command("demo-vault")
  .description("a real OpenBao and PostgreSQL: a database role for each user, and a tour of it")
  .option("--exit", "end after the tour, non-zero if anything was not as it should be")
  .option("--port <port>", "where to listen, if it is free", portOf, 8080)
  .action(runs(async () => (await import("./commands/demo-vault.ts")).demoVault));

await program.parseAsync();
