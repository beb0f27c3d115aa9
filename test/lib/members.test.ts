import fc from "fast-check";
import { expect, test } from "vitest";
import { joinMembers, membersOf, type Written, writtenIn } from "../../src/lib/members.ts";
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

test("depth and size are the sender's, and cost no stack and linear time", () => {
  const deep = 200_000;
  const text = `{"result":${"[".repeat(deep)}${"]".repeat(deep)},"many":[${"1,".repeat(deep)}1]}`;
  const cost = cpuClock();
  expect(membersOf(text).get("result")).toHaveLength(2 * deep);
  expect(cost()).toBeLessThan(2000);
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
