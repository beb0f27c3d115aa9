import { DiscoverResultSchema } from "@modelcontextprotocol/core";
import { InitializeResultSchema, ListToolsResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import { resultText } from "../../src/protocol/answers.ts";
import {
  discoverResult,
  initializeResult,
  listResult,
  negotiate,
  type Translation,
  translateError,
  translateResult,
  translateTool,
} from "../../src/protocol/results.ts";
import { META } from "../../src/protocol/versions.ts";

const serverInfo = { name: "support", version: "1.0.0" };
const server = { serverInfo, capabilities: { tools: {} }, instructions: "Be kind." };

test("initialize is answered as the SDK's clients read it", () => {
  expect(negotiate("2025-03-26")).toBe("2025-03-26");
  expect(negotiate("2026-07-28")).toBe("2025-11-25");
  const result = JSON.parse(initializeResult("2025-06-18", server));
  expect(InitializeResultSchema.parse(result)).toMatchObject({ protocolVersion: "2025-06-18", serverInfo });
});

test("server/discover is answered as the SDK's clients read it, for this caller alone", () => {
  const result = JSON.parse(discoverResult(server));
  expect(DiscoverResultSchema.parse(result)).toMatchObject({ supportedVersions: ["2026-07-28"] });
  expect(result).toMatchObject({
    resultType: "complete",
    cacheScope: "private",
    _meta: { [META.serverInfo]: serverInfo },
  });
});

test("a list holds each definition as the bytes it came in", () => {
  const definition = '{"name":"refund","inputSchema":{"type":"object"},"x-big":12345678901234567890}';
  const legacy = listResult("legacy", "tools", [definition, definition], "c1");
  expect(legacy).toBe(`{"tools":[${definition},${definition}],"nextCursor":"c1"}`);
  expect(ListToolsResultSchema.parse(JSON.parse(legacy)).tools).toHaveLength(2);
  const modern = listResult("modern", "tools", [], undefined, serverInfo);
  expect(JSON.parse(modern)).toEqual({
    tools: [],
    ttlMs: 0,
    cacheScope: "private",
    resultType: "complete",
    _meta: { [META.serverInfo]: serverInfo },
  });
});

describe("a result from one era to the other", () => {
  const call = (from: Era, to: Era): Translation => ({ method: "tools/call", from, to, serverInfo });
  const content = '[{"type":"text","text":"1.0"}]';
  const big = '"structuredContent":{"id":12345678901234567890 ,"f":1.0}';

  test("passes as it is within an era", () => {
    const legacy = `{ "content":${content},${big}}`;
    expect(translateResult(legacy, call("legacy", "legacy"))).toBe(legacy);
    const modern = `{"resultType":"complete","content":${content}, "ttlMs":1}`;
    expect(translateResult(modern, call("modern", "modern"))).toBe(modern);
  });

  test("gains what modern clients need, and keeps every other byte", () => {
    const result = translateResult(
      `{"content":${content},${big},"_meta":{"k":1e2}}`,
      call("legacy", "modern"),
    );
    expect(result).toContain(big);
    expect(result).toContain('"k":1e2');
    expect(JSON.parse(result)).toMatchObject({
      resultType: "complete",
      _meta: { [META.serverInfo]: serverInfo },
    });
  });

  test("loses what legacy clients do not know", () => {
    const modern = `{"resultType":"complete","content":${content},${big},"ttlMs":0,"cacheScope":"private"}`;
    expect(translateResult(modern, call("modern", "legacy"))).toBe(`{"content":${content},${big}}`);
  });

  test.each(["legacy", "modern"] as const)("is refused to a %s client where it asks for input", (to) => {
    const asking = '{"resultType":"input_\\u0072equired","inputRequests":{}}';
    expect(() => translateResult(asking, call("modern", to))).toThrow(
      expect.objectContaining({ code: "upstream_protocol" }),
    );
  });
});

test("a task is the result of a call alone: no other method's may become one that nobody is noted for", () => {
  const task = '{"resultType":"task","taskId":"t1"}';
  const of = (method: string, to: Era) => translateResult(task, { method, from: "modern", to, serverInfo });
  expect(of("tools/call", "modern")).toBe(task);
  for (const refused of [
    () => of("resources/read", "modern"),
    () => of("prompts/get", "modern"),
    () => of("tools/call", "legacy"),
  ])
    expect(refused).toThrow(expect.objectContaining({ code: "upstream_protocol" }));
});

describe("a read from one era to the other", () => {
  const read = (from: Era, to: Era): Translation => ({ method: "resources/read", from, to, serverInfo });
  const contents = '"contents":[{"uri":"a:b","text":"x","big":12345678901234567890}]';

  test("is nobody else's to keep, and is not kept long where the upstream did not say so", () => {
    const result = translateResult(`{${contents}}`, read("legacy", "modern"));
    expect(result).toContain(contents);
    expect(JSON.parse(result)).toMatchObject({ ttlMs: 0, cacheScope: "private", resultType: "complete" });
  });

  test("never stays public, while its own lifetime stays", () => {
    const open = `{"resultType":"complete",${contents},"ttlMs":5000,"cacheScope":"public"}`;
    expect(translateResult(open, read("modern", "modern"))).toBe(open.replace("public", "private"));
    const unsaid = `{"resultType":"complete",${contents}}`;
    expect(JSON.parse(translateResult(unsaid, read("modern", "modern")))).toMatchObject({
      ttlMs: 0,
      cacheScope: "private",
    });
    const closed = `{"resultType":"complete", ${contents},"ttlMs":5000,"cacheScope":"private"}`;
    expect(translateResult(closed, read("modern", "modern"))).toBe(closed);
  });

  test("loses its hints for legacy clients", () => {
    const closed = `{"resultType":"complete",${contents},"ttlMs":5000,"cacheScope":"private"}`;
    expect(translateResult(closed, read("modern", "legacy"))).toBe(`{${contents}}`);
  });
});

describe("structured output that legacy clients would refuse", () => {
  const translation: Translation = { method: "tools/call", from: "modern", to: "legacy" };

  test.each(["[1,2]", "12345678901234567890", '"a"', "null"])(
    "%s is wrapped as the SDK wraps it",
    (value) => {
      const modern = `{"resultType":"complete","content":[],"structuredContent":${value}}`;
      expect(translateResult(modern, translation)).toBe(
        `{"content":[],"structuredContent":{"result":${value}}}`,
      );
    },
  );

  test("a schema of no object is left out of the definition for legacy clients alone", () => {
    const definition = new Map([
      ["name", '"t"'],
      ["outputSchema", '{"type":"array"}'],
    ]);
    expect([...translateTool(definition, "legacy").keys()]).toEqual(["name"]);
    expect(translateTool(definition, "modern")).toBe(definition);
    const usual = new Map(definition).set("outputSchema", '{"type":"object"}');
    expect(translateTool(usual, "legacy")).toBe(usual);
  });
});

describe("an error from one era to the other", () => {
  const missing = (code: number, data = '{"uri":"a:b"}') => `{"code":${code},"message":"m","data":${data}}`;
  const translate = (text: string, from: Era, to: Era) => translateError(text, { from, to });

  test("says that a resource is not there in the words of its reader", () => {
    expect(translate(missing(-32002), "legacy", "modern")).toBe(missing(-32602));
    expect(translate(missing(-32602), "modern", "legacy")).toBe(missing(-32002));
    expect(translate(missing(-32002), "legacy", "legacy")).toBe(missing(-32002));
    expect(translate(missing(-32602), "modern", "modern")).toBe(missing(-32602));
  });

  test.each([
    missing(-32602, '{"uri":"a:b","why":1}'),
    missing(-32602, "[]"),
    '{"code":-32602,"message":"m"}',
  ])("leaves another invalid parameter alone: %s", (text) => {
    expect(translate(text, "modern", "legacy")).toBe(text);
  });

  test("passes a URL elicitation and what it does not know as they are", () => {
    for (const code of [-32042, -32021, -1, 7]) {
      const text = missing(code, '{"elicitations":[{"n":12345678901234567890}]}');
      for (const from of ["legacy", "modern"] as const)
        for (const to of ["legacy", "modern"] as const) expect(translate(text, from, to)).toBe(text);
    }
  });

  test.each([-32020, -32022])("%d is between gateway and upstream", (code) => {
    expect(() => translate(missing(code), "modern", "modern")).toThrow(
      expect.objectContaining({ code: "upstream_protocol" }),
    );
  });
});

test("an answer wraps the upstream's own text", () => {
  expect(resultText('a"b', "{ }")).toBe('{"jsonrpc":"2.0","id":"a\\"b","result":{ }}');
});
