import { DiscoverResultSchema } from "@modelcontextprotocol/core";
import { InitializeResultSchema, ListToolsResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, test } from "vitest";
import { resultText } from "../../src/protocol/answers.ts";
import {
  discoverResult,
  initializeResult,
  listResult,
  negotiate,
  translateResult,
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
  const content = '[{"type":"text","text":"1.0"}]';
  const big = '"structuredContent":{"id":12345678901234567890 ,"f":1.0}';

  test("passes as it is within an era", () => {
    const legacy = `{ "content":${content},${big}}`;
    expect(translateResult(legacy, "legacy", "legacy")).toBe(legacy);
    const modern = `{"resultType":"complete","content":${content}, "ttlMs":1}`;
    expect(translateResult(modern, "modern", "modern", serverInfo)).toBe(modern);
  });

  test("gains what modern clients need, and keeps every other byte", () => {
    const result = translateResult(
      `{"content":${content},${big},"_meta":{"k":1e2}}`,
      "legacy",
      "modern",
      serverInfo,
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
    expect(translateResult(modern, "modern", "legacy")).toBe(`{"content":${content},${big}}`);
  });

  test.each(["legacy", "modern"] as const)("is refused to a %s client where it asks for input", (to) => {
    const asking = '{"resultType":"input_\\u0072equired","inputRequests":{}}';
    expect(() => translateResult(asking, "modern", to)).toThrow(
      expect.objectContaining({ code: "upstream_protocol" }),
    );
  });
});

test("an answer wraps the upstream's own text", () => {
  expect(resultText('a"b', "{ }")).toBe('{"jsonrpc":"2.0","id":"a\\"b","result":{ }}');
});
