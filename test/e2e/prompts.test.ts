import { completable, McpServer } from "@modelcontextprotocol/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Served, serveEverything } from "../upstream/servers.ts";
import { listing, type Shelf, serveShelf } from "./shelf.ts";
import { FULL_CLIENTS, type FullClient, fullV1, fullV2 } from "./stock.ts";
import { serveSdk } from "./upstreams.ts";
import { ask, OPEN, openWorld, type World } from "./world.ts";

let everything: Served;
let modern: Served;
let shelf: Shelf;
let open: World;
let guarded: World;
const direct: Record<string, FullClient> = {};

const RULES = `package authz

ann if "support" in input.principal.roles

grant contains {
	"reason": "support writes reports",
	"arguments": {
		"team": {"enum": ["desk", "floor"]},
		"name": {"pattern": "[a-z]+", "optional": true},
		"tone": {"set": "calm"},
		"secret": {"forbidden": true},
	},
} if {
	ann
	input.target.name == "report"
}

grant contains {"reason": "of two shapes", "rank": 1, "arguments": {"team": {"const": "desk"}}, "others": false} if {
	ann
	input.target.name == "shapes"
}

grant contains {"reason": "of any shape", "rank": 2, "arguments": {"team": {"maxLength": 3}}} if {
	ann
	input.target.name == "shapes"
}

grant contains {"reason": "as it is"} if {
	ann
	input.target.name in {"plain", "log://{day}/{part}"}
}

grant contains {
	"reason": "its own boxes",
	"arguments": {"tenant": {"const": input.principal.tenant}, "box": {"pattern": "[a-m].*"}},
} if {
	ann
	input.target.name == "box://{tenant}/{box}"
}
`;

const TEAM = { name: "team", description: "Whose" };
const PROMPTS = [
  {
    name: "report",
    title: "Report",
    description: "d".repeat(5000),
    arguments: [
      { ...TEAM, required: false },
      { name: "name" },
      { name: "tone", required: true },
      { name: "secret" },
    ],
    icons: [{ src: "https://x.example/i.png" }],
  },
  { name: "shapes", arguments: [{ ...TEAM, required: true }, { name: "size" }] },
  { name: "plain", arguments: [{ name: "any", required: true, description: "as is", "x-more": 1 }] },
  { name: "hidden", arguments: [TEAM] },
];
const TEMPLATES = [
  { uriTemplate: "box://{tenant}/{box}", name: "boxes" },
  { uriTemplate: "log://{day}/{part}", name: "logs" },
];
const COMPLETED = { values: ["desk", "Floor", "floor", "hq"], total: 250, hasMore: true };
const completed = ({ name, value }: JsonObject) =>
  name === "box" ? { values: ["a1", "z1"] } : value === "d" ? { values: ["desk"], total: 2 } : COMPLETED;

beforeAll(async () => {
  [everything, modern, shelf] = await Promise.all([
    serveEverything(),
    serveModernPrompts(),
    serveShelf(
      {},
      {
        ...listing({ prompts: PROMPTS, templates: TEMPLATES }),
        "prompts/get": () => '{"messages":[]}',
        "completion/complete": ({ argument }) =>
          JSON.stringify({
            completion: completed(argument as JsonObject),
          }),
      },
    ),
  ]);
  open = await openWorld({
    config: {
      upstreams: { everything: { url: everything.url }, modern: { url: modern.url } },
      servers: {
        everything: { upstreams: ["everything"] },
        modern: { upstreams: ["modern"] },
        both: { upstreams: ["everything", "modern"] },
      },
    },
    policies: OPEN,
  });
  guarded = await openWorld({
    config: { upstreams: { shelf: { url: shelf.url } }, servers: { main: { upstreams: ["shelf"] } } },
    policies: RULES,
  });
  direct.everything = await fullV1(everything.url);
  direct.modern = await fullV2(modern.url);
});
afterAll(async () => {
  for (const client of Object.values(direct)) await client.close();
  await Promise.all([open.close(), guarded.close()]);
  await Promise.all([everything.close(), modern.close(), shelf.close()]);
});

function serveModernPrompts(): Promise<Served> {
  return serveSdk(() => {
    const server = new McpServer({ name: "prompts", version: "1" });
    const langs = ["de", "en", "fr"];
    const lang = completable(z.string(), (given) => langs.filter((one) => one.startsWith(given)));
    server.registerPrompt("greet", { argsSchema: z.object({ lang }) }, (args) => ({
      messages: [{ role: "user", content: { type: "text", text: `hello in ${args.lang}` } }],
    }));
    return server;
  });
}

const UPSTREAMS = [
  [
    "everything",
    "completable-prompt",
    { department: "Sales", name: "Eve" },
    { name: "department", value: "S" },
  ],
  ["modern", "greet", { lang: "en" }, { name: "lang", value: "" }],
] as const;
const CELLS = FULL_CLIENTS.flatMap(([client, connect]) =>
  UPSTREAMS.map((upstream) => [client, ...upstream, connect] as const),
);
const byName = (list: unknown) =>
  [...(list as JsonObject[])].sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));

test.each(CELLS)(
  "a %s client of %s sees its prompts, messages and completions as they are",
  async (_client, upstream, name, args, argument, connect) => {
    const own = direct[upstream] as FullClient;
    for (const [server, prefix] of [
      [upstream, ""],
      ["both", `${upstream}__`],
    ] as const) {
      const client = await connect(open.url(server), await open.token("ann", server));
      try {
        const listed = byName((await client.listPrompts()).prompts).filter((one) =>
          String(one.name).startsWith(prefix),
        );
        const wanted = byName((await own.listPrompts()).prompts).map((one) => ({
          ...one,
          name: prefix + one.name,
        }));
        if (prefix === "") expect(listed).toEqual(wanted);
        else expect(listed).toEqual(expect.arrayContaining(wanted));
        const got = await client.getPrompt({ name: prefix + name, arguments: args });
        expect(got.messages).toEqual((await own.getPrompt({ name, arguments: args })).messages);
        const ref = { type: "ref/prompt", name } as const;
        const completed = await client.complete({ ref: { ...ref, name: prefix + name }, argument });
        expect(completed.completion).toEqual((await own.complete({ ref, argument })).completion);
      } finally {
        await client.close();
      }
    }
  },
);

async function asked(method: string, params: JsonObject, user = "ann") {
  const token = await guarded.token(user, "main");
  const before = shelf.seen.length;
  const { body } = await ask(guarded.url("main"), method, params, { token });
  const forwarded = shelf.seen.slice(before).flatMap((one) => (one.method === method ? [one.params] : []));
  return { body, code: body.error?.data.code ?? "ok", forwarded };
}

test("a prompt is listed with the arguments that may be sent, which of them must be, and their bounds in words", async () => {
  const { body } = await asked("prompts/list", {});
  const { prompts } = body.result as { prompts: JsonObject[] };
  const [report, shapes, plain, ...more] = ["report", "shapes", "plain", "hidden"].map((name) =>
    prompts.find((one) => one.name === name),
  );
  expect(more).toEqual([undefined]);
  expect(report).toEqual({
    name: "report",
    title: "Report",
    description: `${"d".repeat(5000)}\n\nPolicy: /team must be one of "desk", "floor", /name must match the whole pattern [a-z]+ where it is sent.`,
    arguments: [{ ...TEAM, required: true }, { name: "name" }],
    icons: [{ src: "https://x.example/i.png" }],
  });
  expect(shapes).toMatchObject({
    description:
      'Policy allows one of these: (1) /team must be "desk", the call takes no other arguments; (2) /team must have at most 3 characters.',
    arguments: [{ ...TEAM, required: true }, { name: "size" }],
  });
  expect(plain).toEqual(PROMPTS[2]);
});

test("a template says its bounds in words", async () => {
  const { body } = await asked("resources/templates/list", {});
  expect(body.result?.resourceTemplates).toEqual([
    {
      ...TEMPLATES[0],
      description: 'Policy: /box must match the whole pattern [a-m].*, /tenant must be "acme".',
    },
    TEMPLATES[1],
  ]);
});

test.each<[string, JsonObject, string, JsonObject?]>([
  ["within its bounds", { team: "desk" }, "ok", { team: "desk", tone: "calm" }],
  [
    "with an optional one",
    { team: "floor", name: "ann" },
    "ok",
    { team: "floor", name: "ann", tone: "calm" },
  ],
  ["outside an enum", { team: "hq" }, "argument_out_of_bounds"],
  ["outside a pattern", { team: "desk", name: "Ann" }, "argument_out_of_bounds"],
  ["with one that must not be sent", { team: "desk", secret: "" }, "argument_out_of_bounds"],
  ["with one that policy sets", { team: "desk", tone: "calm" }, "argument_out_of_bounds"],
  ["without one that must be there", {}, "argument_out_of_bounds"],
  ["with one that is not declared", { team: "desk", more: "x" }, "arguments_invalid"],
])("a prompt %s", async (_, args, code, forwarded) => {
  const got = await asked("prompts/get", { name: "report", arguments: args });
  expect(got.code).toBe(code);
  expect(got.forwarded.map((params) => params.arguments)).toEqual(forwarded ? [forwarded] : []);
});

const complete = (ref: JsonObject, name: string, value: string, given?: JsonObject, user?: string) =>
  asked(
    "completion/complete",
    { ref, argument: { name, value }, ...(given && { context: { arguments: given } }) },
    user,
  );
const REPORT = { type: "ref/prompt", name: "report" };

test("a completion drops what the bounds forbid, and tells no count of it", async () => {
  const { body, forwarded } = await complete(REPORT, "team", "");
  expect(body.result?.completion).toEqual({ values: ["desk", "floor"], hasMore: true });
  // Whoever completes within what policy sets is told no more than that.
  expect(forwarded[0]).toMatchObject({
    ref: REPORT,
    argument: { name: "team", value: "" },
    context: { arguments: { tone: "calm" } },
  });
  const box = { type: "ref/resource", uri: "box://{tenant}/{box}" };
  expect((await complete(box, "box", "", { tenant: "acme" })).body.result?.completion).toEqual({
    values: ["a1"],
  });
  const named = await complete(REPORT, "name", "", { team: "desk" });
  expect(named.body.result?.completion).toEqual({ values: ["desk", "floor", "hq"], hasMore: true });
  // Those of this page may all be known, and the count still tell of others.
  expect((await complete(REPORT, "team", "d")).body.result?.completion).toEqual({ values: ["desk"] });
});

test("where nothing is bounded a completion passes as it is", async () => {
  const { body, forwarded } = await complete({ type: "ref/prompt", name: "plain" }, "any", "x", {
    other: "y",
  });
  expect(body.result?.completion).toEqual(COMPLETED);
  expect(forwarded[0]).toMatchObject({ context: { arguments: { other: "y" } } });
});

test.each<[string, JsonObject, string, JsonObject | undefined]>([
  ["an argument that policy sets", REPORT, "tone", undefined],
  ["an argument that must not be sent", REPORT, "secret", undefined],
  ["an argument that nobody declares", REPORT, "other", undefined],
  ["one beside an argument outside its bounds", REPORT, "name", { team: "hq" }],
  ["one beside an argument that policy sets", REPORT, "name", { team: "desk", tone: "calm" }],
  [
    "a variable beside another tenant's",
    { type: "ref/resource", uri: "box://{tenant}/{box}" },
    "box",
    { tenant: "globex" },
  ],
])("completing %s asks nobody", async (_, ref, name, given) => {
  expect(await complete(ref, name, "", given)).toMatchObject({
    code: "argument_out_of_bounds",
    forwarded: [],
  });
});

test("completing something hidden is answered as something unknown is", async () => {
  const unknown = await complete({ type: "ref/prompt", name: "nowhere" }, "team", "");
  expect(unknown).toMatchObject({ code: "not_found", forwarded: [] });
  const hidden = [
    await complete({ type: "ref/prompt", name: "hidden" }, "team", ""),
    await complete(REPORT, "team", "", undefined, "bob"),
    await complete({ type: "ref/resource", uri: "box://{tenant}/{box}" }, "box", "", undefined, "bob"),
    await complete({ type: "ref/resource", uri: "box://acme/{box}" }, "box", ""),
  ];
  for (const { body, forwarded } of hidden) {
    expect(forwarded).toEqual([]);
    expect(body).toEqual(unknown.body);
  }
});

test("a completion's record says what was completed, and with what", async () => {
  await complete(REPORT, "team", "de", { name: "ann" });
  const decision = (await guarded.decisions()).at(-1);
  expect(decision).toMatchObject({
    method: "completion/complete",
    effect: "allow",
    target: { upstream: "shelf", kind: "prompt", name: "report" },
    named: "team",
    arguments: { name: "ann", team: "de" },
    grant: { reason: "support writes reports" },
  });
});
