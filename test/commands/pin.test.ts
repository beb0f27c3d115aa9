import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pinFileText } from "../../src/catalog/pin-file.ts";
import { type PinOptions, pin } from "../../src/commands/pin.ts";
import { startSupportDesk } from "../../src/demo/support-desk/support-desk.ts";
import { CONFIG, company, pinned, REFUND } from "./company.ts";
import { surroundings } from "./world.ts";

const CHANGED = REFUND.replace("Pays back.", "Pays anyone.");

async function run(folder: string, options: Partial<PinOptions>) {
  const { around, printed } = surroundings(folder);
  const code = await pin({ config: "portcullis.yaml", arguments: [], ...options }, around);
  return { code, ...printed };
}

const waiting = () =>
  company({ "pins.json": pinFileText([pinned("refund", REFUND, CHANGED), pinned("read", REFUND)]) });
const digest = (definition: string) => pinned("", definition).digest.slice(0, 12);

test("pin --list shows what is pinned, and what waits with its difference", async () => {
  expect(await run(waiting(), { list: true })).toEqual({
    code: 1,
    out: `crm  tool  read    ${digest(REFUND)}
crm  tool  refund  ${digest(REFUND)}  changed
changed crm: tool refund
    /description: "Pays back." -> "Pays anyone."
    approve: portcullis pin crm refund
`,
    err: "",
  });
});

test("pin approves what waits, in the file where no gateway runs", async () => {
  const folder = waiting();
  expect(await run(folder, { arguments: ["crm", "refund"] })).toMatchObject({
    code: 0,
    out: "approved: crm: tool refund\n",
  });
  expect(readFileSync(join(folder, "pins.json"), "utf8")).toBe(
    pinFileText([pinned("read", REFUND), pinned("refund", CHANGED)]),
  );
  expect(await run(folder, { list: true })).toMatchObject({ code: 0 });
});

test.each<[Partial<PinOptions>, string]>([
  [{}, "portcullis: pin UPSTREAM TARGET [--kind KIND], pin --list or pin --all\n"],
  [{ arguments: ["crm"] }, "portcullis: pin UPSTREAM TARGET [--kind KIND], pin --list or pin --all\n"],
  [{ list: true, all: true }, "portcullis: pin UPSTREAM TARGET [--kind KIND], pin --list or pin --all\n"],
  [
    { arguments: ["crm", "refunds"] },
    'portcullis: nothing is pinned as crm: tool refunds, did you mean "refund"?\n',
  ],
  [{ arguments: ["crm", "refund"], kind: "tol" }, "portcullis: --kind is tool, resource, template, prompt\n"],
  [{ arguments: ["crm", "refund"], kind: "prompt" }, "portcullis: nothing is pinned as crm: prompt refund\n"],
  [
    { arguments: ["crn", "refund"] },
    'portcullis: nothing is pinned as crn: tool refund, did you mean "crm"?\n',
  ],
])("pin %j is told how it is used", async (options, err) => {
  expect(await run(waiting(), options)).toEqual({ code: 2, out: "", err });
});

test("a difference that someone edits into the pin file is no approval", async () => {
  const folder = waiting();
  const file = join(folder, "pins.json");
  writeFileSync(file, readFileSync(file, "utf8").replace("Pays back.", "Pays me."));
  await expect(run(folder, { list: true })).rejects.toThrow("cannot be read");
});

test("pin --all asks every upstream, pins what is new and what changed, and names what does not answer", async () => {
  const desk = await startSupportDesk({ port: 0, keys: { keys: [] }, audience: "https://crm" });
  const folder = company({ "portcullis.yaml": CONFIG.replace("http://127.0.0.1:9/mcp", desk.url) });
  const { code, out } = await run(folder, { all: true });
  await desk.close();
  expect(out).toContain("changed crm: tool refund\n    /annotations: (absent) -> ");
  expect(out).toMatch(/\nfiles: upstream_unavailable: .*\n7 pinned targets: 6 new, 1 changed\n$/);
  expect(code).toBe(1);
  expect(await run(folder, { list: true })).toMatchObject({ code: 0 });
});

test("a pin file says each line of a definition, sorted, numbers as they were written", () => {
  const text = pinFileText([
    pinned("b", "[]"),
    pinned("a", '{"big":12345678901234567890,"empty":{},"list":[1,{"x":1.0}]}'),
  ]);
  expect(text).toBe(`{
  "v": 1,
  "pins": [
    {
      "upstream": "crm",
      "kind": "tool",
      "name": "a",
      "digest": "${pinned("", '{"big":12345678901234567890,"empty":{},"list":[1,{"x":1.0}]}').digest}",
      "definition": {
        "big": 12345678901234567890,
        "empty": {},
        "list": [
          1,
          {
            "x": 1.0
          }
        ]
      }
    },
    {
      "upstream": "crm",
      "kind": "tool",
      "name": "b",
      "digest": "${pinned("", "[]").digest}",
      "definition": []
    }
  ]
}
`);
});
