// Brings a clone to a runnable state and does nothing when it already is: packages, the Rego toolchain, dist.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...env },
  });
  if (error) fail(`${command} could not be started: ${error.message}`);
  if (status !== 0) fail(`${[command, ...args].join(" ")} ended with ${status}`);
}

function filesUnder(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesUnder(join(path, name)));
}

function digestOf(inputs) {
  const hash = createHash("sha256");
  for (const file of inputs.flatMap(filesUnder)) hash.update(file).update("\0").update(readFileSync(file));
  return hash.digest("hex");
}

/** Its output is there, and its stamp holds the digest of its inputs. */
function isDone({ inputs, output, stamp }) {
  return existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === digestOf(inputs);
}

function unlessDone(step) {
  if (isDone(step)) return;
  console.error(`setup: ${step.label} …`);
  step.run();
  writeFileSync(step.stamp, digestOf(step.inputs));
}

function requireGo() {
  const version = spawnSync("go", ["version"], { encoding: "utf8" }).stdout ?? "";
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(version) ?? [];
  if (major !== "1" || Number(minor) < 26) {
    fail(
      "the Rego toolchain needs Go 1.26 or newer to build once: install it from your package manager or go.dev",
    );
  }
}

function buildToolchain() {
  run(
    "go",
    [
      "build",
      "-C",
      "toolchain",
      "-buildmode=c-shared",
      "-trimpath",
      "-buildvcs=false",
      "-ldflags=-s -w -buildid=",
      "-o",
      "toolchain.wasm",
      ".",
    ],
    { GOOS: "wasip1", GOARCH: "wasm", CGO_ENABLED: "0", GOFLAGS: "", GOTOOLCHAIN: "local" },
  );
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 15))
  fail(`Node 20.15 or newer is needed, this is ${process.versions.node}`);

const packages = {
  label: "installing packages",
  inputs: ["package.json", "package-lock.json"],
  output: "node_modules",
  stamp: "node_modules/.portcullis-stamp",
  run: () => run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]),
};
const toolchain = {
  label: "building the Rego toolchain (once, about two minutes)",
  inputs: readdirSync("toolchain")
    .filter((name) => /\.go$|^go\.(mod|sum)$|\.json$|\.rego$/.test(name))
    .map((name) => join("toolchain", name)),
  output: "toolchain/toolchain.wasm",
  stamp: "toolchain/.stamp",
  run: buildToolchain,
};
const dist = {
  label: "compiling",
  inputs: ["src", "tsconfig.json", "package.json"],
  output: "dist",
  stamp: "node_modules/.portcullis-dist-stamp",
  run() {
    rmSync("dist", { recursive: true, force: true });
    run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]);
  },
};

// Whoever lacks Go learns that before the packages are installed.
if (!isDone(toolchain)) requireGo();
for (const step of [packages, toolchain, dist]) unlessDone(step);
