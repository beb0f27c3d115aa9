import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const SRC = resolve(import.meta.dirname, "../../src");
const STAGES = [
  "http",
  "protocol",
  "identity",
  "catalog",
  "policy",
  "credential",
  "upstream",
  "audit",
  "accounts",
  "runs",
  "suspension",
  "store",
  "local",
];
const LEAVES = [...STAGES, "config", "authorization-server"];
/** Who may import a package besides its own room: the SDKs are also the demo's and the bench's clients and servers. */
const SHARED_BY_DESIGN = new Set(["demo", "bench"]);

interface Import {
  readonly file: string;
  readonly room: string;
  readonly to: string;
  /** Before the file itself runs. */
  readonly loads: boolean;
}

function imports(): Import[] {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  return files.flatMap((file) => {
    const text = readFileSync(join(SRC, file), "utf8");
    const found = text.matchAll(
      /^(?:import|export)\b(?<type> type\b)?[^;]*?from "(?<at>[^"]+)"|\bimport\("(?<later>[^"]+)"\)/gms,
    );
    return Array.from(found, ({ groups: { type, at, later } = {} }) => {
      return {
        file,
        room: roomOf(file),
        to: at ?? later ?? "",
        loads: at !== undefined && type === undefined,
      };
    });
  });
}

function roomOf(file: string): string {
  return file.includes("/") ? (file.split("/")[0] ?? "") : "";
}

function targetRoom({ file, to }: Import): string {
  return roomOf(relative(SRC, resolve(SRC, file, "..", to)));
}

function packageOf(to: string): string {
  return to
    .split("/")
    .slice(0, to.startsWith("@") ? 2 : 1)
    .join("/");
}

test("a stage imports only itself, domain.ts and lib/", () => {
  const breaches = imports()
    .filter(({ room, to }) => LEAVES.includes(room) && to.startsWith("."))
    .filter((one) => ![one.room, "lib"].includes(targetRoom(one)) && !one.to.endsWith("/domain.ts"))
    .map(({ file, to }) => `${file} -> ${to}`);
  expect(breaches).toEqual([]);
});

test("lib/ and domain.ts import no room", () => {
  const breaches = imports()
    .filter(
      ({ file, room, to }) =>
        (["lib", "domain"].includes(room) || file === "domain.ts") && to.startsWith("."),
    )
    .filter((one) => !["lib", "domain"].includes(targetRoom(one)) && !one.to.endsWith("/domain.ts"))
    .map(({ file, to }) => `${file} -> ${to}`);
  expect(breaches).toEqual([]);
});

test("no file imports itself by way of others", () => {
  const left = new Map<string, string[]>();
  for (const { file, to } of imports().filter((one) => one.to.startsWith("."))) {
    const target = relative(SRC, resolve(SRC, file, "..", to));
    left.set(file, [...(left.get(file) ?? []), target]);
  }
  // Whoever imports nobody that is left, or is imported by nobody, stands in no circle.
  let before: number;
  do {
    before = left.size;
    const imported = new Set([...left.values()].flat());
    for (const [file, targets] of left)
      if (!imported.has(file) || !targets.some((one) => left.has(one))) left.delete(file);
  } while (left.size < before);
  expect([...left.keys()]).toEqual([]);
});

test("a start loads no package that only some configurations need", () => {
  const all = imports().filter(({ loads }) => loads);
  const reached = new Set(["commands/serve.ts"]);
  for (const from of reached)
    for (const { file, to } of all)
      if (file === from && to.startsWith(".")) reached.add(relative(SRC, resolve(SRC, file, "..", to)));
  const packages = new Set(all.filter(({ file }) => reached.has(file)).map(({ to }) => packageOf(to)));
  expect(packages).toContain("undici");
  const sometimes = [
    "@redis/client",
    "node-vault",
    "oidc-provider",
    "openid-client",
    "pg",
    "@electric-sql/pglite",
  ];
  expect(sometimes.filter((name) => packages.has(name))).toEqual([]);
});

test("only the command line reads process.env", () => {
  const readers = readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && file !== "main.ts")
    .filter((file) => readFileSync(join(SRC, file), "utf8").includes("process.env"));
  expect(readers).toEqual([]);
});

test("whoever reads a bearer token stands behind the check of the head", () => {
  const readers = imports().filter(({ to }) => to.endsWith("/bearer.ts"));
  // The gate is asked by http/mcp.ts and local/, the route of runs is given the check by compose/.
  expect(readers.map(({ file }) => file).sort()).toEqual(["gate/gate.ts", "runs/route.ts"]);
  const checking = imports().filter(({ to }) => to.endsWith("/head.ts"));
  expect(checking.map(({ file }) => file).sort()).toEqual(["compose/runs.ts", "http/mcp.ts"]);
});

test("each third-party package is imported in one room", () => {
  const rooms = new Map<string, Set<string>>();
  for (const { room, to } of imports()) {
    if (to.startsWith(".") || to.startsWith("node:") || SHARED_BY_DESIGN.has(room)) continue;
    const name = packageOf(to);
    rooms.set(name, (rooms.get(name) ?? new Set()).add(room || "(top)"));
  }
  const spread = [...rooms]
    .filter(([, where]) => where.size > 1)
    .map(([name, where]) => `${name}: ${[...where].sort().join(", ")}`);
  expect(spread).toEqual(ALLOWED_SPREAD);
});

/** Packages that two rooms need for different ends, each with its reason. */
const ALLOWED_SPREAD: string[] = [
  // One verifies what others signed, the other signs for upstreams: no room of ours would join the two.
  "jose: credential, identity",
  // Connections that are pooled and follow nothing: to Vault, and to upstreams.
  "undici: credential, upstream",
];
