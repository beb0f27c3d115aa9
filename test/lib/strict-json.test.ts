import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { Json } from "../../src/lib/json.ts";
import { BODY_VALUES, parseStrict } from "../../src/lib/strict-json.ts";
import { cpuClock } from "../support/cpu.ts";

const read = (text: string | Uint8Array, maxDepth = 64): Json =>
  parseStrict(typeof text === "string" ? Buffer.from(text) : text, { maxDepth });

function codeOf(text: string | Uint8Array, maxDepth?: number): string {
  try {
    read(text, maxDepth);
    return "accepted";
  } catch (error) {
    return error instanceof PortcullisError ? error.code : String(error);
  }
}

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

describe("what two readers could take for different values is refused", () => {
  test.each([
    ["a repeated key", '{"a":1,"a":2}'],
    ["a repeated key with an equal value", '{"a":1,"a":1}'],
    ["a repeated key under an escape", '{"name":1,"n\\u0061me":2}'],
    ["a repeated key deep inside", '{"params":{"arguments":[{"amount":1,"amount":9999}]}}'],
    ["a repeated key whose first value held other members", '{"a":{"b":1,"c":2},"a":{"b":1}}'],
    ["a repeated empty key", '{"":1,"":2}'],
    ["a repeated integer key", '{"1":1,"1":2}'],
    ["__proto__", '{"__proto__":{"admin":true}}'],
    ["__proto__ under an escape", '{"a":{"__pr\\u006fto__":1}}'],
    ["NUL in a key", '{"a\\u0000b":1}'],
    ["a lone high surrogate", '["\\ud800"]'],
    ["a lone low surrogate", '["\\udc00"]'],
    ["surrogates in the wrong order", '["\\udc00\\ud800"]'],
    ["two high surrogates", '["\\ud800\\ud800\\udc00"]'],
    ["a high surrogate before another escape", '["\\ud800\\n"]'],
    ["a lone surrogate in a key", '{"\\uDBFF":1}'],
    ["a byte order mark", "\ufeff{}"],
    ["an integer past 2^53", "[9007199254740993]"],
    ["an integer of many digits", "[123456789012345678901234567890]"],
    ["an exponent past the doubles", "[1e400]"],
    ["a negative one", "[-1e400]"],
    ["an exponent below the doubles", "[1e-400]"],
    ["more digits than a double keeps", "[0.10000000000000000555]"],
    ["a long fraction", "[3.14159265358979323846]"],
    ["nesting past the limit", nested(65)],
    ["nesting of objects past the limit", `${'{"a":'.repeat(65)}1${"}".repeat(65)}`],
  ])("%s", (_, text) => {
    expect(codeOf(text)).toBe("json_refused");
  });
});

describe("what is not JSON in UTF-8 is refused", () => {
  test.each([
    ["nothing", ""],
    ["space alone", " \n"],
    ["trailing garbage", "{}x"],
    ["two documents", "{}{}"],
    ["a trailing comma", "[1,]"],
    ["NaN", "[NaN]"],
    ["Infinity", "[-Infinity]"],
    ["a leading zero", "[01]"],
    ["a plus sign", "[+1]"],
    ["a bare fraction", "[.5]"],
    ["two signs", "[1-2]"],
    ["hex", "[0x10]"],
    ["a comment", "{}//"],
    ["single quotes", "{'a':1}"],
    ["a raw control character", '["\n"]'],
    ["a NUL byte", "[1]\0"],
    ["an unknown escape", '["\\x41"]'],
    ["half an escape", '["\\u00"]'],
    ["an open string", '["a'],
    ["an open escape", '["\\'],
    ["an open array", "[1"],
    ["a wrong bracket", "[1}"],
    ["a vertical tab", "\v[]"],
    ["a no-break space", "[]\u00a0"],
  ])("%s", (_, text) => {
    expect(codeOf(text)).toBe("json_invalid");
  });

  test.each([
    ["a continuation byte alone", [0x80]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["a surrogate in UTF-8", [0xed, 0xa0, 0x80]],
    ["past U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["a cut sequence", [0xe2, 0x82]],
    ["UTF-16", [0xff, 0xfe]],
  ])("%s", (_, bytes) => {
    expect(codeOf(Buffer.from([0x5b, 0x22, ...bytes, 0x22, 0x5d]))).toBe("json_invalid");
  });
});

describe("what survives is accepted", () => {
  test.each([
    "0",
    "-0",
    "1.0",
    "1e2",
    "1E+2",
    "0.1",
    "-12.50",
    "9007199254740991",
    "9007199254740992",
    "100000000000000000000000",
    "6.02214076e23",
    "1.7976931348623157e308",
    "5e-324",
    "0e999",
    "0.30000000000000004",
    `0.${"0".repeat(300)}1`,
    "nullnull".slice(4),
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\\\ud800"',
    '"\u{1f600}"',
    ' {"constructor":{"prototype":1},"toString":2} ',
    '{"Name":1,"name":2}',
    "{}",
    nested(64),
  ])("%s", (text) => {
    expect(read(text)).toEqual(JSON.parse(text));
  });

  test("a key counts once however many objects have it", () => {
    expect(read('[{"a":1},{"a":{"a":2}}]')).toEqual([{ a: 1 }, { a: { a: 2 } }]);
  });

  test("the value is frozen all through", () => {
    const value = read('{"a":[{"b":1}]}') as { a: { b: number }[] };
    expect(Object.isFrozen(value)).toBe(true);
    expect(Object.isFrozen(value.a)).toBe(true);
    expect(() => {
      (value.a[0] as { b: number }).b = 2;
    }).toThrow(TypeError);
  });
});

describe("for any document", () => {
  const json = fc.json({ maxDepth: 6, stringUnit: "binary" });

  test("an accepted one is what JSON.parse reads, and its re-serialisation is accepted again", () => {
    fc.assert(
      fc.property(fc.oneof(json, fc.string({ unit: "binary" })), (text) => {
        if (codeOf(text) !== "accepted") return;
        const value = read(text);
        expect(value).toEqual(JSON.parse(text));
        expect(read(JSON.stringify(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 2000 },
    );
  });

  test("one that JSON.stringify wrote is accepted unless it has a key that is refused", () => {
    const value = fc.jsonValue({ maxDepth: 5, stringUnit: "grapheme" });
    fc.assert(
      fc.property(value, (sample) => {
        const text = JSON.stringify(sample);
        fc.pre(!text.includes("__proto__"));
        expect(read(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  const key = fc.string({ unit: "grapheme", maxLength: 6 }).filter((name) => name !== "__proto__");
  const flat = fc.dictionary(key, fc.jsonValue({ maxDepth: 2 }), { minKeys: 1, noNullPrototype: true });

  test("a key written twice is refused wherever it stands", () => {
    fc.assert(
      fc.property(
        flat,
        fc.nat(),
        fc.jsonValue({ maxDepth: 1 }),
        fc.boolean(),
        (object, pick, other, escaped) => {
          const keys = Object.keys(object);
          const twice = keys[pick % keys.length] as string;
          const written = escaped
            ? `"${[...twice]
                .flatMap((c) => c.split(""))
                .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
                .join("")}"`
            : JSON.stringify(twice);
          const text = JSON.stringify(object);
          const hostile = `${text.slice(0, -1)},${written}:${JSON.stringify(other)}}`;
          fc.pre(!hostile.includes("__proto__"));
          expect(codeOf(`{"params":[${hostile}]}`)).toBe("json_refused");
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("a number is accepted exactly when its decimal value is that of its double's shortest form", () => {
    const digits = (max: number) =>
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: max }).map((list) => list.join(""));
    const token = fc
      .tuple(fc.boolean(), digits(25), fc.option(digits(25)), fc.option(fc.integer({ min: -330, max: 330 })))
      .map(([minus, whole, fraction, exponent]) => {
        const integer = whole.replace(/^0+(?=\d)/, "");
        return `${minus ? "-" : ""}${integer}${fraction === null ? "" : `.${fraction}`}${exponent === null ? "" : `e${exponent}`}`;
      });
    // An independent reading: both sides as integers over one power of ten.
    const scaled = (text: string): bigint => {
      const [mantissa = "", exponent = "0"] = text.toLowerCase().split("e");
      const [whole = "", fraction = ""] = mantissa.split(".");
      return BigInt(whole + fraction) * 10n ** BigInt(Number(exponent) - fraction.length + 1000);
    };
    fc.assert(
      fc.property(token, (text) => {
        const double = Number(text);
        const same = Number.isFinite(double) && scaled(text) === scaled(String(double));
        expect(codeOf(`[${text}]`)).toBe(same ? "accepted" : "json_refused");
      }),
      { numRuns: 3000 },
    );
  });

  test("any change of a byte is either refused or read as JSON.parse reads it", () => {
    const sample = Buffer.from('{"a":[1,2.5e3,"\\u00e9\\ud83d\\ude00x"],"b":{"c":null,"d":true}}');
    fc.assert(
      fc.property(fc.nat(sample.length - 1), fc.nat(255), (at, byte) => {
        const bytes = Buffer.from(sample);
        bytes[at] = byte;
        if (codeOf(bytes) === "accepted") expect(read(bytes)).toEqual(JSON.parse(bytes.toString("utf8")));
        else expect(codeOf(bytes)).toMatch(/^json_/);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("time is linear in the bytes", () => {
  const SIZE = 1 << 20;
  test.each([
    ["nested arrays", "[".repeat(SIZE)],
    ["one array", `[${"1,".repeat(SIZE / 2)}1]`],
    ["one number", `[${"9".repeat(SIZE)}]`],
    ["one number of zeros", `[0.${"0".repeat(SIZE)}1]`],
    ["numbers on the slow path", `[${"1e22,".repeat(SIZE / 5)}1]`],
    ["escapes", `["${"\\u0041".repeat(SIZE / 6)}"]`],
    ["distinct keys", `{${Array.from({ length: SIZE / 10 }, (_, i) => `"k${i}":1`).join(",")}}`],
    ["one key over and over", `{${Array.from({ length: SIZE / 6 }, () => '"k":1').join(",")}}`],
  ])("%s", (_, text) => {
    const cost = cpuClock();
    codeOf(text);
    expect(cost()).toBeLessThan(2000);
  });
});

test("a body of many values is refused before any is built, and one of as many as are allowed is read", () => {
  const bounded = (text: string) => parseStrict(Buffer.from(text), { maxDepth: 64, maxValues: BODY_VALUES });
  const rows = (many: number) => `[${Array(many).fill('{"id":1,"name":"a,[{","n":1.5}').join()}]`;
  expect(bounded(rows(19_999))).toHaveLength(19_999);
  expect(bounded(`[${Array(100_000).fill("0.1234567890123456").join()}]`)).toHaveLength(100_000);
  for (const hostile of [rows(20_000), `[${"1,".repeat(100_001)}1]`, `[${"[],".repeat(20_000)}1]`])
    expect(() => bounded(hostile)).toThrow(expect.objectContaining({ code: "json_refused" }));
});
