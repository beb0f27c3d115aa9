import fc from "fast-check";
import { expect, test } from "vitest";
import { valueIn } from "../../src/lib/json-text.ts";
import {
  elementsOf,
  joinMembers,
  memberOf,
  membersAnd,
  membersOf,
  scalarIn,
  type Written,
  writtenIn,
} from "../../src/lib/members.ts";
import { cpuClock } from "../support/cpu.ts";

test("each member keeps the text it was written in", () => {
  const members = membersOf(
    ' {"id" : 12345678901234567890 ,\n"result":{ "x": 1.0 , "y":[ ]} ,"e":"a\\"}," , "n":null}\n',
  );
  expect([...members]).toEqual([
    ["id", "12345678901234567890"],
    ["result", '{ "x": 1.0 , "y":[ ]}'],
    ["e", '"a\\"},"'],
    ["n", "null"],
  ]);
});

test("keys are read without their escapes", () => {
  expect(membersOf('{"n\\u0061me":1,"__proto__":2}')).toEqual(
    new Map([
      ["name", "1"],
      ["__proto__", "2"],
    ]),
  );
});

test("an empty object has no members", () => {
  expect(membersOf(" { } ").size).toBe(0);
  expect(joinMembers(new Map())).toBe("{}");
});

test.each([
  ["a repeated key", '{"a":1,"a":2}'],
  ["a repeated key under an escape", '{"a":1,"\\u0061":2}'],
  ["an array", "[]"],
  ["null", "null"],
  ["a cut text", '{"a":[1,2}'],
  ["two objects", "{}{}"],
  ["nothing", ""],
])("%s is not taken for an object", (_, text) => {
  expect(() => membersOf(text)).toThrow(expect.objectContaining({ code: "upstream_protocol" }));
});

test("for any object, its members parse to its values and join to an equal object", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue(), { noNullPrototype: true }),
      fc.constantFrom(undefined, 1, "\t", "\r\n "),
      (object, indent) => {
        const text = JSON.stringify(object, null, indent);
        const members = membersOf(text);
        expect([...members.keys()]).toEqual(Object.keys(JSON.parse(text)));
        for (const [key, value] of members) {
          expect(text).toContain(value);
          expect(JSON.parse(value)).toEqual(JSON.parse(text)[key]);
        }
        expect(JSON.parse(joinMembers(members))).toEqual(JSON.parse(text));
      },
    ),
    { numRuns: 1000 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isTaken(text: string): boolean {
  try {
    elementsOf(`[${text}]`);
    return true;
  } catch {
    return false;
  }
}

test("what is taken for JSON is what a parser takes for it, also where one character makes the difference", () => {
  const token = fc.constantFrom(
    ...'{}[]:,"\\- \n\r\t\f\v\u00a0\ufeff'.split(""),
    ...[
      "true",
      "false",
      "null",
      "tru",
      "0",
      "1",
      "-0",
      "01",
      "1.5",
      ".5",
      "5.",
      "1e9",
      "1E+9",
      "e",
      "+1",
      "NaN",
    ],
    ...['"a"', '"\\u0041"', '"\\u00g1"', '"\\x"', '"\\/"', '"\u0000"', '"\n"', '"\\', "\ud800", "/**/"],
    `"${"x".repeat(70)}"`,
    `"${"x".repeat(70)}\\"\\`,
    `"${"x".repeat(70)}\n"`,
  );
  const tokens = fc.array(token, { maxLength: 12 }).map((parts) => parts.join(""));
  const cut = fc
    .tuple(fc.jsonValue(), fc.nat(), token, fc.boolean())
    .map(([value, place, other, isInserted]) => {
      const text = JSON.stringify(value);
      const at = place % (text.length + 1);
      return text.slice(0, at) + other + text.slice(isInserted ? at : at + 1);
    });
  fc.assert(
    fc.property(fc.oneof(tokens, cut), (text) => {
      // An element of an array, which itself may not be two.
      fc.pre(isJson(`[[${text}]]`) === isJson(`[${text}]`));
      expect([text, isTaken(text)]).toEqual([text, isJson(`[${text}]`)]);
    }),
    { numRuns: 20_000 },
  );
});

test("one member is found as a parser finds it, beside the members of the whole", () => {
  const text = '{"result":{"is\\u0045rror":false,"x":{"isError":1},"isError":true},"isError":2}';
  const { members, found } = membersAnd(text, ["result", "isError"]);
  expect(found).toBe("true");
  expect(members).toEqual(membersOf(text));
  expect(memberOf(members.get("result") ?? "", "isError")).toBe("true");
  expect(memberOf("{}", "isError")).toBeUndefined();
  expect(() => memberOf('{"a":1', "a")).toThrow("not JSON");
  expect(["5", '"a"', "null", "true", "{}", "[]"].map(scalarIn)).toEqual([
    5,
    "a",
    null,
    true,
    undefined,
    undefined,
  ]);
});

const MIB = 1 << 20;
const filled = (part: string) =>
  `[${Array(Math.floor(MIB / part.length))
    .fill(part)
    .join("")}1]`;
const numbered = (part: (at: number) => string) =>
  `[${Array.from({ length: MIB / 10 }, (_, at) => part(at)).join()}]`;

/** What makes a parser work for seconds on eight times as much. */
const HOSTILE: Readonly<Record<string, string>> = {
  "empty arrays": filled("[],"),
  "empty objects": filled('{"":{}},'),
  "arrays nested to some depth": filled(`${"[".repeat(60)}${"]".repeat(60)},`),
  "objects of which each has a key of its own": numbered((at) => `{"${at.toString(36)}":1}`),
  numbers: filled("1,"),
  "line ends": filled("\n"),
};

test.each(Object.entries(HOSTILE))(
  "%s by the megabyte are judged and passed on, and nothing is built",
  (_, text) => {
    const message = `{"jsonrpc":"2.0","id":1,"result":{"x":${text}}}`;
    const judge = () => membersAnd(message, ["result", "isError"]).members.get("result")?.length;
    expect(judge()).toBe(text.length + 6);
    const before = process.memoryUsage().heapUsed;
    const cost = cpuClock();
    for (let times = 0; times < 4; times += 1) judge();
    expect(cost()).toBeLessThan(3000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 * MIB);
  },
);

test("what nests deeper than anybody reads, or has more parts than anybody tells, is refused where it is taken apart", () => {
  const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  expect(membersOf(nested(9_000)).size).toBe(1);
  for (const depth of [10_001, MIB]) expect(() => membersOf(nested(depth))).toThrow("nested deeper");
  expect(() => membersOf(`{"a":${"[".repeat(MIB)}}`)).toThrow("nested deeper");
  expect(() => membersOf(`{${numbered((at) => `"${at}":1`).slice(1, -1)}}`)).toThrow(
    "more than 10000 members",
  );
  expect(() => elementsOf(filled("1,"))).toThrow("more than 100000 elements");
  for (const text of Object.values(HOSTILE).slice(0, 5))
    expect(() => valueIn(text)).toThrow("more than 20000 values");
});

test("for any value, honest text of it passes however much of it there is", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t", "\r\n "), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      expect(valueIn(text)).toEqual(JSON.parse(text));
      const rows = `{"rows":[${Array(300).fill(text).join(",\n")}]}`;
      expect(JSON.parse(membersOf(rows).get("rows") ?? "")).toHaveLength(300);
    }),
    { numRuns: 300 },
  );
  const said = JSON.stringify({ text: "a,b,[c],{d}\n".repeat(100_000) });
  expect(valueIn(said)).toEqual(JSON.parse(said));
});

test("a value that is taken apart to the end is what it was, each scalar as it was written", () => {
  const textOf = (value: Written): string => {
    if (typeof value === "string") return value;
    if (value instanceof Map)
      return `{${[...value].map(([key, one]) => `${JSON.stringify(key)}:${textOf(one)}`).join(",")}}`;
    return `[${value.map(textOf).join(",")}]`;
  };
  const indents = fc.constantFrom(undefined, 1, "\t", "\r\n ");
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), indents, (value, indent) => {
      expect(textOf(writtenIn(JSON.stringify(value, null, indent), 64))).toBe(JSON.stringify(value));
    }),
    { numRuns: 1000 },
  );
  expect(textOf(writtenIn(' {"a" : [ 1.0 , "\\u0061" ],"b":[ ] ,"c":{ }}', 64))).toBe(
    '{"a":[1.0,"\\u0061"],"b":[],"c":{}}',
  );
  expect(() => writtenIn('{"a":{"b":1,"\\u0062":2}}', 64)).toThrow("repeats a key");
  expect(() => writtenIn("[[1,]]", 64)).toThrow("not JSON");
  expect(() => writtenIn("[[[1]]]", 2)).toThrow("nested deeper than 2");
});
