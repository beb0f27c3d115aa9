import fc from "fast-check";
import { expect, test } from "vitest";
import { createCut } from "../../src/upstream/cut.ts";
import { cpuClock } from "../support/cpu.ts";

const SECRET = "sk_live/9aZ+b=c&d<e>fgh==";
const hex = (char: string) => char.charCodeAt(0).toString(16).padStart(4, "0");
const escaping = (chars: RegExp) => (value: unknown) =>
  JSON.stringify(value).replace(chars, (char) => `\\u${hex(char)}`);

/** How JSON is written by what upstreams are made of. */
const ENCODERS: Readonly<Record<string, (value: unknown) => string>> = {
  "JavaScript, Python, Ruby": JSON.stringify,
  "PHP: json_encode": (value) => JSON.stringify(value).replaceAll("/", "\\/"),
  "Java: Gson; Rails": escaping(/[=&<>']/g),
  "Go: encoding/json": escaping(/[&<>]/g),
  ".NET: System.Text.Json": (value) =>
    JSON.stringify(value).replace(/[+&<>'`]/g, (char) => `\\u${hex(char).toUpperCase()}`),
};

test.each(Object.entries(ENCODERS))("a secret is cut as %s writes it", (_, encode) => {
  const cut = createCut([SECRET]);
  const answer = (text: string) => ({ content: [{ type: "text", text }], n: 1 });
  const within = cut(encode(answer(`key: ${SECRET}, \\ and "more" é/=`)));
  expect(JSON.parse(within)).toEqual(answer('key: [withheld], \\ and "more" é/='));
  // A tool that tells JSON as its text, once more in a log line.
  const once = JSON.parse(cut(encode(answer(encode({ token: SECRET })))));
  expect(JSON.parse(once.content[0].text)).toEqual({ token: "[withheld]" });
  const twice = cut(encode(answer(encode({ line: encode({ token: SECRET }) }))));
  expect(JSON.parse(JSON.parse(JSON.parse(twice).content[0].text).line)).toEqual({ token: "[withheld]" });
});

test("a secret is cut where every letter of it is escaped", () => {
  const text = Array.from(SECRET, (char) => `\\u${hex(char)}`).join("");
  expect(createCut([SECRET])(`{"a":"${text}"}`)).toBe('{"a":"[withheld]"}');
});

test.each(["Zaaaaaa\\uaaaaZ", "\\u0041bcdefgh\u0001", "back\\\\u12345678"])(
  "a secret that looks like an escape itself, %j, is cut however its letters are spelt",
  (secret) => {
    const cut = createCut([secret]);
    const spelt = Array.from(secret, (char) => `\\u${hex(char)}`).join("");
    const [plain, half] = [JSON.stringify(secret), JSON.stringify(secret).replace("u", "\\u0075")];
    for (const text of [plain, half, `"${spelt}"`]) expect(JSON.parse(cut(text))).toBe("[withheld]");
    expect(JSON.parse(JSON.parse(cut(JSON.stringify(half))))).toBe("[withheld]");
  },
);

test("what holds no secret is the same text, whatever it escapes", () => {
  const cut = createCut([SECRET, "passw0rd!"]);
  for (const encode of Object.values(ENCODERS)) {
    const text = encode({ a: 'C:\\users\\new "x"\n', b: "sk_live/", c: "\u0430\ud83d\ude00</script>" });
    expect(cut(text)).toBe(text);
  }
});

test("a key is cut whole and line by line, and what stands around every key is left", () => {
  const key =
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----";
  const cut = createCut([key]);
  expect(JSON.parse(cut(JSON.stringify({ key })))).toEqual({ key: "[withheld]" });
  expect(cut(key.replaceAll("\n", " "))).toBe(
    "-----BEGIN PRIVATE KEY----- [withheld] [withheld] -----END PRIVATE KEY-----",
  );
});

test("shorter secrets than words are not searched for, unless that is asked", () => {
  expect(createCut(["hunt3r2"])("hunt3r2")).toBe("hunt3r2");
  expect(createCut(["hunt3r2"], 1)("hunt3r2")).toBe("[withheld]");
  expect(createCut([])("anything")).toBe("anything");
});

/** What a string means, each of its characters spelt in any way; words are only escaped where they are first written. */
function spelling(text: string, choices: readonly number[], isFirst: boolean): string {
  const spelt = Array.from(text, (char, at) => {
    const plain = JSON.stringify(char).slice(1, -1);
    if (!isFirst && /\w/.test(char)) return plain;
    const other = char === "/" ? "\\/" : `\\u${hex(char).toUpperCase()}`;
    const ways = [plain, plain, `\\u${hex(char)}`, other];
    return ways[(choices[at % choices.length] ?? 0) % ways.length];
  });
  return `"${spelt.join("")}"`;
}

const secrets = fc
  .array(fc.constantFrom(..."ab19/+=<>&\"\\\n\t 'é\u2028nu"), { minLength: 12, maxLength: 20 })
  .map((chars) => `Z${chars.join("")}Z`);
const choices = fc.array(fc.nat(3), { minLength: 1, maxLength: 40 });

test("no choice of escapes, at any depth, keeps a secret from being cut, nor breaks the JSON", () => {
  fc.assert(
    fc.property(secrets, choices, fc.integer({ min: 1, max: 3 }), (secret, ways, depth) => {
      let text = `<${secret}> and "${secret}"`;
      for (let at = 0; at < depth; at += 1) text = spelling(text, ways, at === 0);
      let said = createCut([secret])(text);
      for (let at = 0; at < depth; at += 1) said = JSON.parse(said);
      expect(said).toBe('<[withheld]> and "[withheld]"');
    }),
    { numRuns: 3000 },
  );
});

test("the time is linear in the text, also where it is made to be slow", () => {
  const cut = createCut([SECRET]);
  const hostile = [
    "\\".repeat(1 << 20),
    "\\u003d".repeat(1 << 18),
    `${"sk_live\\/9aZ+b=c&d<e>fgh=".repeat(1 << 15)}`,
    `${JSON.stringify(SECRET).replaceAll("/", "\\/")},`.repeat(1 << 15),
  ];
  for (const text of hostile) {
    const cost = cpuClock();
    cut(`${SECRET.replace("/", "\\/")}${text}`);
    expect(cost()).toBeLessThan(2000);
  }
});

test("millions of backslashes are cut like a few, and nothing is thrown at whoever listens", () => {
  const cut = createCut(["secret-A-value"]);
  const million = 1 << 20;
  for (const many of [
    "\\".repeat(4 * million),
    "\\".concat("u005c".repeat(million)),
    "\\u005c".repeat(million),
  ])
    for (const a of ["\\u0041", "A"]) expect(cut(`${many}x secret-${a}-value`)).toBe(`${many}x [withheld]`);
});
