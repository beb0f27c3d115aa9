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

/** Runs `step` unless `output` exists and `stamp` holds the digest of `inputs`. */
function whenChanged(label, inputs, output, stamp, step) {
  const hash = createHash("sha256");
  for (const file of inputs.flatMap(filesUnder)) hash.update(file).update("\0").update(readFileSync(file));
  const digest = hash.digest("hex");
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  console.error(`setup: ${label} …`);
  step();
  writeFileSync(stamp, digest);
}

function buildToolchain() {
  const version = spawnSync("go", ["version"], { encoding: "utf8" }).stdout ?? "";
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(version) ?? [];
  if (major !== "1" || Number(minor) < 26) {
    fail(
      "the Rego toolchain needs Go 1.26 or newer to build once: install it from your package manager or go.dev",
    );
  }
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

whenChanged(
  "installing packages",
  ["package.json", "package-lock.json"],
  "node_modules",
  "node_modules/.portcullis-stamp",
  () => run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]),
);
const goSources = readdirSync("toolchain")
  .filter((name) => /\.go$|^go\.(mod|sum)$|\.json$|\.rego$/.test(name))
  .map((name) => join("toolchain", name));
whenChanged(
  "building the Rego toolchain (once, about two minutes)",
  goSources,
  "toolchain/toolchain.wasm",
  "toolchain/.stamp",
  buildToolchain,
);
whenChanged(
  "compiling",
  ["src", "tsconfig.json", "package.json"],
  "dist",
  "node_modules/.portcullis-dist-stamp",
  () => {
    rmSync("dist", { recursive: true, force: true });
    run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]);
  },
);
