import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Decided, readDecided } from "../../src/audit/read.ts";
import type { CallDecision, PolicyTarget, Target, TenantRecord } from "../../src/domain.ts";
import { createCapabilities } from "../../src/gate/capabilities.ts";
import { decide } from "../../src/gate/decision.ts";
import { createSchemas } from "../../src/gate/schemas.ts";
import { digest, isJsonObject, type JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { readTemplate } from "../../src/lib/uri-template.ts";
import { createPreparer } from "../../src/policy/preparation.ts";
import { createPolicyStore, type PolicyStore } from "../../src/policy/store.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { listing, type Shelf, serveShelf } from "./shelf.ts";
import { ask, openWorld, type World } from "./world.ts";

const RULES = `package authz

grant contains {"reason": "pages", "arguments": {"id": {"pattern": "[0-9]+"}}, "requires": ["awake"]} if {
	input.target.name == "doc://{id}"
}

grant contains {"reason": "the first page"} if input.target.name == "doc://1"

grant contains {"reason": "own briefs", "arguments": {"who": {"enum": [input.principal.subject]}, "tone": {"set": "calm"}}} if {
	input.target.kind == "prompt"
}

deny contains "bob reads no pages" if {
	"lead" in input.principal.roles
	input.target.kind == "template"
}

# METADATA
# title: a principal
holds.awake if input.principal.subject != "dee"
`;

let shelf: Shelf;
let world: World;
let policies: PolicyStore;
const toolchain = createToolchain();

beforeAll(async () => {
  shelf = await serveShelf(
    {},
    {
      ...listing({
        resources: [{ uri: "doc://1", name: "one" }],
        templates: [{ uriTemplate: "doc://{id}", name: "any" }],
        prompts: [{ name: "brief", arguments: [{ name: "who" }, { name: "tone" }] }],
      }),
      "resources/read": () => '{"contents":[]}',
      "prompts/get": () => '{"messages":[]}',
    },
  );
  world = await openWorld({
    config: { upstreams: { shelf: { url: shelf.url } }, servers: { main: { upstreams: ["shelf"] } } },
    policies: RULES,
  });
  policies = createPolicyStore({
    prepare: createPreparer(toolchain),
    platform: join(world.directory, "policies"),
    tenants: new Map([["acme", null]]),
    tenantSchema: {},
    log: silentLog,
    clock: Date.now,
  });
  await policies.load();
});
afterAll(async () => {
  policies.close();
  await toolchain.close();
  await world.close();
  await shelf.close();
});

/** A target as the log has it. */
function targetOf(input: JsonObject): Target {
  const definition = isJsonObject(input.definition) ? input.definition : {};
  const { upstream, kind, name, labels, announced } = input as unknown as PolicyTarget;
  const inputSchema = (input.inputSchema ?? definition.inputSchema) as JsonObject;
  const seen = { upstream, kind, name, labels, announced };
  return { ...seen, exposedName: "", definition: new Map(), inputSchema, digest: digest(input) };
}

/** From the log alone, and the policies of the revision that it names. */
function decideAgain({ record, tenant, target, matched }: Decided): CallDecision {
  const { principal, server, context, arguments: args, named = "" } = record;
  if (principal === null || target === undefined) throw new Error("the log does not hold it whole");
  const others = matched.map(targetOf).map((one) => {
    const read = readTemplate(one.name);
    const match = read.ok ? read.template.match(named) : undefined;
    return { target: one, arguments: match?.values ?? {} };
  });
  const asking = {
    policy: policies.current("acme"),
    context: { principal, tenant: tenant as TenantRecord, server, now: context.now },
  };
  const rooms = { capabilities: createCapabilities(createSchemas(), 100) };
  return decide(asking, rooms, [{ target: targetOf(target), arguments: args ?? {} }, ...others]);
}

test("reads and prompts of a gateway's log are decided again from the log and its policies alone", async () => {
  for (const user of ["ann", "bob", "dee"]) {
    const token = await world.token(user, "main");
    for (const uri of ["doc://1", "doc://2", "doc://x", "DOC://%31"])
      await ask(world.url("main"), "resources/read", { uri }, { token, headers: { "mcp-name": uri } });
    for (const who of ["ann", "bob"])
      await ask(world.url("main"), "prompts/get", { name: "brief", arguments: { who } }, { token });
  }
  const codes: Record<string, number> = {};
  for await (const decided of readDecided(join(world.directory, "log"))) {
    const { method, revision, effect, code, grant, requirements, reasons } = decided.record;
    if (method !== "resources/read" && method !== "prompts/get") continue;
    expect(revision).toEqual(policies.current("acme").revision);
    const again = decideAgain(decided);
    expect({
      effect: again.effect,
      code: again.effect === "allow" ? "ok" : again.code,
      grant: again.grant && JSON.parse(JSON.stringify(again.grant)),
      requirements: again.requirements,
      reasons: again.effect === "allow" ? [] : again.reasons,
    }).toEqual({ effect, code, grant, requirements, reasons });
    codes[code] = (codes[code] ?? 0) + 1;
  }
  expect(codes).toEqual({ ok: 5, argument_out_of_bounds: 6, not_found: 4, requirement_not_met: 3 });
});
