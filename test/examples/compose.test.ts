import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../src/config/config.ts";
import { ROOT } from "../e2e/world.ts";

interface Service {
  readonly image?: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly ports?: readonly string[];
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test?: unknown; readonly disable?: boolean };
  readonly restart?: string;
}

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const compose = parse(read("docker-compose.yml"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const services = Object.entries(compose.services);
const config = (() => {
  const parsed = parseConfig(
    read("examples/compose/portcullis.yaml"),
    "/opt/portcullis/examples/compose/portcullis.yaml",
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
})();

test.each(services)("%s: a pinned image, a read-only root, no new privileges", (name, service) => {
  expect(service.image).toMatch(/:\d+\.\d+(\.\d+)?(-[a-z]+(-slim)?)?$/);
  expect(service.read_only).toBe(true);
  expect(service.cap_drop).toEqual(["ALL"]);
  expect(service.security_opt).toEqual(["no-new-privileges:true"]);
  // One makes a volume's owner, and reaches nothing.
  if (name === "approle") expect(service.network_mode).toBe("none");
  else expect(service.user).toMatch(/^[1-9a-z]/);
});

test.each(services)("%s: a healthcheck, or it runs once", (_, { healthcheck, restart }) => {
  expect(healthcheck?.disable === true ? restart : healthcheck?.test).toEqual(
    healthcheck?.disable === true ? "no" : expect.anything(),
  );
});

test("agents reach the gateway alone, on loopback, and it alone stands between the networks", () => {
  const published = services.filter(([, { ports }]) => ports !== undefined);
  expect(published.map(([name, { ports }]) => [name, ports])).toEqual([["gateway", ["127.0.0.1:8080:8080"]]]);
  const onAgentsSide = services.filter(([, { networks = [] }]) => networks.includes("agents"));
  expect(onAgentsSide.map(([name]) => name)).toEqual(["gateway"]);
  const open = Object.entries(compose.networks).filter(([, network]) => network?.internal !== true);
  expect(open.map(([name]) => name)).toEqual(["agents"]);
  for (const [name, { networks = [] }] of services)
    if (name !== "gateway") expect(networks.includes("upstreams") && networks.length > 1).toBe(false);
});

test("every secret is a file of a folder that must be named, and the script makes it", () => {
  const script = read("examples/compose/secrets.sh");
  for (const { file } of Object.values(compose.secrets)) {
    expect(file).toMatch(/^\$\{PORTCULLIS_SECRETS:\?[^}]*\}\//);
    expect(script).toContain(file.split("/").at(-1));
  }
  for (const [, { environment = {} }] of services)
    for (const [name, value] of Object.entries(environment))
      if (/PASSWORD|SECRET|TOKEN|KEY/.test(name)) expect(value).toMatch(/^\/run\/secrets\//);
  const declared = Object.keys(compose.secrets).sort();
  expect([...new Set(services.flatMap(([, { secrets = [] }]) => secrets))].sort()).toEqual(declared);
});

test("the gateway's configuration is accepted, and what it names is there", () => {
  const { gateway } = compose.services;
  const given = JSON.stringify(config);
  for (const [, name = ""] of given.matchAll(/\/run\/secrets\/(\w+)/g))
    expect(gateway?.secrets).toContain(name);
  expect(gateway?.volumes).toContain("approle:/run/approle:ro");
  const reached = ["openbao", "postgres", "valkey", "everything"];
  for (const host of reached) {
    expect(given).toContain(host);
    const shared = compose.services[host]?.networks?.some((one) => gateway?.networks?.includes(one));
    expect([host, shared]).toEqual([host, true]);
  }
  const mounted = services.flatMap(([, { volumes = [] }]) => volumes.filter((one) => one.startsWith("./")));
  for (const volume of mounted) expect(existsSync(join(ROOT, volume.split(":")[0] ?? ""))).toBe(true);
});

test("it decides on tickets as the example that is run does", () => {
  expect(read("examples/compose/policies/tickets.rego")).toBe(read("examples/vault/policies/tickets.rego"));
});
