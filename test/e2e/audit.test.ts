import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { audit } from "../../src/commands/audit.ts";
import { evaluate } from "../../src/commands/eval.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { surroundings } from "../commands/world.ts";
import { type Spy, serveSpy, text } from "./upstreams.ts";
import { callTool, type Decision, openWorld, until, type World } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "support echoes", "requires": ["polite"]} if "support" in input.principal.roles

deny contains "leads are too busy" if "lead" in input.principal.roles

holds.polite if input.arguments.text != "no"
`;

let spy: Spy;
let world: World;
beforeAll(async () => {
  const answers: Record<string, JsonObject> = { own: { ...text("no"), isError: true } };
  spy = await serveSpy({
    call: ({ params, response }) => {
      const said = String((params.arguments as JsonObject).text);
      if (said === "broken") return void response.destroy();
      return answers[said] ?? text("done");
    },
  });
  world = await openWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
    },
    policies: POLICY,
  });
  for (const [user, said] of [
    ["ann", "yes"],
    ["ann", "no"],
    ["bob", "yes"],
    ["ann", "own"],
    ["ann", "broken"],
  ] as const)
    await callTool(world.url("main"), "echo", { text: said }, { token: await world.token(user, "main") });
  await until("the outcomes", async () => (await world.outcomes()).length > 2);
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

async function run(args: readonly string[], options: { log?: string; json?: boolean } = {}) {
  const { around, printed } = surroundings(world.directory);
  const code = await audit({ config: "portcullis.yaml", arguments: args, ...options }, around);
  return { code, ...printed };
}

async function callOf(subject: string, code: string): Promise<Decision> {
  const all = await world.decisions();
  const found = all.find((one) => one.principal?.subject === subject && one.target && one.code === code);
  if (found === undefined) throw new Error(`${subject} has no call with ${code}`);
  return found;
}

test("one call is shown with who asked, why it was decided so, and what came of it", async () => {
  const allowed = await run(["show", (await callOf("ann", "ok")).id]);
  expect(allowed).toMatchObject({ code: 0, err: "" });
  expect(allowed.out).toMatch(/^who +ann of acme, as support, by http:\/\/\S+, with portcullis$/m);
  expect(allowed.out).toMatch(/^arguments +\{"text":"yes"\}$/m);
  expect(allowed.out).toMatch(/^grant +support echoes \(platform, rank 100\)$/m);
  expect(allowed.out).toMatch(/^#\d+ +20\S+Z +outcome +ok$/m);
  const refused = await run(["show", (await callOf("ann", "requirement_not_met")).id]);
  expect(refused.out).toMatch(/^decided +deny: requirement_not_met$/m);
  expect(refused.out).toMatch(/^requires +polite did not hold$/m);
  const hidden = await run(["show", (await callOf("bob", "not_found")).id]);
  expect(hidden.out).toMatch(/^reasons +leads are too busy$/m);
});

test("a decision is found by its number as by its id, and what is none of them is not", async () => {
  const { id, seq } = await callOf("ann", "ok");
  const byId = await run(["show", id]);
  expect(byId.code).toBe(0);
  for (const number of [`${seq}`, `#${seq}`]) expect(await run(["show", number])).toEqual(byId);
  const outcome = (await world.outcomes()).find(({ decision }) => decision === id)?.seq ?? 0;
  for (const none of ["0", `${outcome}`, "999999"])
    expect(await run(["show", none])).toEqual({
      code: 1,
      out: "",
      err: `portcullis: there is no decision ${none} in ${join(world.directory, "log")}\n`,
    });
});

test("what came of a call is the tool's own error, or the gateway's code, and not both", async () => {
  const cameOf = async (said: string) => {
    const one = (await world.decisions()).find(({ arguments: given }) => given?.text === said);
    return /^#\d+ +\S+Z +outcome +(.*)$/m.exec((await run(["show", one?.id ?? ""])).out)?.[1];
  };
  expect(await cameOf("own")).toBe("ok, an error of the tool");
  expect(await cameOf("broken")).toBe("upstream_unavailable");
});

test("what a recorded decision was made on is what eval decides again", async () => {
  const { id } = await callOf("ann", "requirement_not_met");
  const { input } = JSON.parse((await run(["show", id], { json: true })).out);
  const { around, printed } = surroundings(world.directory, { input: JSON.stringify(input) });
  const options = { config: "portcullis.yaml", input: "-", arguments: [] };
  expect({ code: await evaluate(options, around), err: printed.err }).toEqual({ code: 0, err: "" });
  expect(printed.out).toContain("support echoes");
  expect(printed.out).toContain("unmet  polite\n");
});

test("verify finds the line that was altered, taken out or moved, and names file, line and byte", async () => {
  const whole = await run(["verify"]);
  expect(whole).toMatchObject({
    code: 0,
    err: "",
    out: expect.stringMatching(/^whole: 1 segment, records 1 to \d+\n$/),
  });
  const copy = join(world.directory, "copy");
  onTestFinished(() => rm(copy, { recursive: true }));
  await cp(join(world.directory, "log"), copy, { recursive: true });
  const file = join(copy, "000000000001.jsonl");
  const lines = (await readFile(file, "utf8")).split("\n");
  const [first = "", second = "", ...others] = lines;
  const byte = Buffer.byteLength(first) + 1;
  const damages: readonly (readonly [string, readonly string[]])[] = [
    ["the line does not match its checksum", [first, second.replace('"time":"2', '"time":"1'), ...others]],
    ["record 3 stands where record 2 belongs", [first, ...others]],
    ["record 3 stands where record 2 belongs", [first, others[0] ?? "", second, ...others.slice(1)]],
  ];
  for (const [reason, damaged] of damages) {
    await writeFile(file, damaged.join("\n"));
    const out = `damaged: 000000000001.jsonl:2: byte ${byte}: ${reason}\n`;
    expect(await run(["verify"], { log: "copy" })).toEqual({ code: 1, out, err: "" });
  }
  await writeFile(join(copy, "000000000900.jsonl"), "");
  await writeFile(file, lines.join("\n"));
  const gap = await run(["verify"], { log: "copy" });
  expect(gap.out).toMatch(
    /^damaged: 000000000900.jsonl:1: byte 0: record 900 stands where record \d+ belongs\n$/,
  );
  await rm(join(copy, "000000000900.jsonl"));
  await writeFile(file, "");
  expect((await run(["verify"], { log: "copy" })).out).toBe("whole: 1 segment, no records\n");
  await writeFile(file, `${lines.join("\n")}{"v":1,`);
  const torn = await run(["verify"], { log: "copy" });
  expect(torn.out).toMatch(/\nunfinished: 7 bytes at the end, as a write leaves that was cut off\n$/);
  expect(torn.code).toBe(0);
});

test("a folder without a log is not taken for a whole one, nor an unknown id for an empty decision", async () => {
  expect(await run(["verify"], { log: "policies" })).toMatchObject({ code: 2, out: "" });
  const { code, err } = await run(["verify"], { log: "nowhere" });
  expect({ code, err }).toEqual({
    code: 2,
    err: `portcullis: there is no decision log in ${join(world.directory, "nowhere")}\n`,
  });
  expect(await run(["verify"], { log: "portcullis.yaml" })).toEqual({
    code: 2,
    out: "",
    err: `portcullis: there is no decision log in ${join(world.directory, "portcullis.yaml")}: not a directory\n`,
  });
  expect(await run(["show", "nobody"])).toMatchObject({ code: 1, out: "" });
  for (const args of [[], ["show"], ["verify", "more"], ["alter", "it"]])
    expect(await run(args)).toMatchObject({ code: 2, out: "" });
});
