import fc from "fast-check";
import { expect, test } from "vitest";
import { EventReader } from "../../src/upstream/event-reader.ts";
import { cpuClock } from "../support/cpu.ts";

/** What is read of a stream that comes in these chunks. */
function read(chunks: readonly Buffer[], maxBytes = 1 << 20): readonly unknown[] {
  const seen: unknown[] = [];
  const reader = new EventReader({
    maxBytes,
    onEvent: (type, data) => seen.push(type === "" ? data : { type, data }),
    onId: (id) => seen.push({ id }),
    onRetry: (retry) => seen.push({ retry }),
    onFault: (fault) => seen.push({ fault }),
  });
  for (const chunk of chunks) reader.feed(chunk);
  return seen;
}

const whole = (text: string) => read([Buffer.from(text)]);
const bytewise = (text: string) => read([...Buffer.from(text)].map((byte) => Buffer.from([byte])));

test.each([
  ["\ufeffdata: first\n\n", ["first"]],
  ["\ufeff\ufeffdata: first\n\ndata: second\n\n", ["second"]],
  ["data: \ufeffx\n\n", ["\ufeffx"]],
  ["data\n\n", [""]],
  ["data:a\ndata: b\ndata:  c\n\n", ["a\nb\n c"]],
  ["data: a\rdata: b\r\r", ["a\nb"]],
  ["data: a\r\ndata: b\n\rdata: c\r\r", ["a\nb", "c"]],
  ["data: a\r\n\r\ndata: b\n\n", ["a", "b"]],
  [": comment\n:\nDATA: x\nunknown: y\nno colon\ndata: a\n\n", ["a"]],
  ["event: ping\ndata: a\n\ndata: b\n\n", [{ type: "ping", data: "a" }, "b"]],
  ["event: ping\n\ndata: b\n\n", ["b"]],
  ["id: 1\n\nid: 2\ndata: a\n\nid\ndata: b\n\n", [{ id: "1" }, { id: "2" }, "a", { id: "" }, "b"]],
  ["id: a\0b\ndata: c\n\n", ["c"]],
  ["retry: 10\nretry: -1\nretry: 1e3\nretry:\n\n", [{ retry: 10 }]],
  ["data: not ended\n", []],
])("%j is read as WHATWG HTML says, in one piece and byte by byte", (text, events) => {
  expect(whole(text)).toEqual(events);
  expect(bytewise(text)).toEqual(events);
});

test("an event that ends in CR is told at once: what follows may be long in coming", () => {
  expect(whole("data: a\r\r")).toEqual(["a"]);
});

test("an LF belongs to the CR before it alone, and not to one with a line between", () => {
  const chunks = ["event: e\r\n\rdata", "\n\n"].map((text) => Buffer.from(text));
  expect(read(chunks)).toEqual([""]);
});

test("how a stream is cut into chunks means nothing, nor which line ends it has", () => {
  const line = fc.constantFrom("data: a", "data", "id: 1", "event: e", ": c", "x", "data: é", "");
  const lineEnd = fc.constantFrom("\n", "\r", "\r\n");
  fc.assert(
    fc.property(fc.array(fc.tuple(line, lineEnd), { maxLength: 12 }), fc.array(fc.nat(60)), (lines, cuts) => {
      // A CR before a line that is empty and ends in LF would be one line end with it.
      const parts = lines.map(([text, end], at) =>
        end === "\r" && lines[at + 1]?.join("") === "\n" ? `${text}\n` : text + end,
      );
      const bytes = Buffer.from(parts.join(""));
      const at = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((to, index) => bytes.subarray(at[index], to));
      expect(read(chunks)).toEqual(whole(lines.map(([text]) => `${text}\n`).join("")));
    }),
  );
});

test("what is not UTF-8, or an event over the limit, is a fault", () => {
  expect(read([Buffer.from([0x64, 0xff, 10])])).toEqual([{ fault: "the event stream is not UTF-8" }]);
  expect(read([Buffer.from("data: 12345")], 10)).toEqual([{ fault: "an event is too large" }]);
  expect(read([Buffer.from("data:123\ndata:456\ndata:789\n")], 10)).toEqual([
    { fault: "an event is too large" },
  ]);
});

test.each([
  ["LFs that end in one CR", `${"\n".repeat(65_535)}\r`],
  ["CRs", "\r".repeat(65_536)],
  ["fields that nobody knows", "x\n".repeat(32_768)],
  ["times that are none", "retry:x\n".repeat(8192)],
  ["data without an end", "data:\n".repeat(1000)],
  ["comments", ":\r".repeat(32_768)],
])("%s cost no more than their bytes", (_, text) => {
  const chunk = Buffer.from(text);
  const cost = cpuClock();
  read(Array(20).fill(chunk));
  // 1.3 MB: some 0.1 s here, and seconds where a line costs an Error or a search of all that follows.
  expect(cost()).toBeLessThan(1200);
});
