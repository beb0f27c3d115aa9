import type { IncomingMessage } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Secret } from "../../src/lib/secret.ts";
import {
  asking,
  calling,
  closeAll,
  event,
  httpUpstream,
  serveEverything,
  serveModern,
  textOf,
} from "./servers.ts";

afterEach(closeAll);
const signal = new AbortController().signal;

test("a legacy server is found to be legacy, and its tools are called in a session", async () => {
  const upstream = httpUpstream((await serveEverything()).url);
  const identity = await upstream.identify(signal);
  expect(identity).toMatchObject({ era: "legacy", protocolVersion: "2025-11-25" });
  expect(textOf(await upstream.request(calling("echo", { message: "hello" })))).toBe("Echo: hello");
  const list = await upstream.request(asking("tools/list", {}));
  expect(JSON.parse(list.text).tools).toHaveLength(13);
});

test("two owners use the same ids at the same time and nothing is crossed", async () => {
  const upstream = httpUpstream((await serveEverything()).url);
  const calls = Array.from({ length: 60 }, async (_, at) => {
    const sessionKey = at % 2 === 0 ? "ann" : "bob";
    const answer = await upstream.request(
      calling("echo", { message: `${sessionKey} ${at}` }, { sessionKey }),
    );
    expect(textOf(answer)).toBe(`Echo: ${sessionKey} ${at}`);
  });
  await Promise.all(calls);
});

test("progress reaches its caller under the caller's own token", async () => {
  const upstream = httpUpstream((await serveEverything()).url);
  const seen: Record<string, unknown[]> = { ann: [], bob: [] };
  const call = (sessionKey: "ann" | "bob") =>
    upstream.request(
      calling(
        "trigger-long-running-operation",
        { duration: 0.1, steps: 2 },
        {
          sessionKey,
          progressToken: "same",
          onNotification: (method, params) => seen[sessionKey]?.push([method, JSON.parse(params)]),
        },
      ),
    );
  await Promise.all([call("ann"), call("bob")]);
  const steps = [1, 2].map((progress) => [
    "notifications/progress",
    { progress, total: 2, progressToken: "same" },
  ]);
  expect(seen).toEqual({ ann: steps, bob: steps });
});

test("a restarted server is found again, and a call is sent once more only because it was refused", async () => {
  const first = await serveEverything();
  const upstream = httpUpstream(first.url);
  await upstream.request(calling("echo", { message: "one" }));
  await first.close();
  await expect(upstream.request(calling("echo", { message: "two" }))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  await serveEverything(Number(new URL(first.url).port));
  expect(textOf(await upstream.request(calling("echo", { message: "three" })))).toBe("Echo: three");
});

test("a modern server is asked in the modern era, without a session", async () => {
  const seen: IncomingMessage[] = [];
  const { url } = await serveModern((request) => seen.push(request));
  const upstream = httpUpstream(url);
  expect(await upstream.identify(signal)).toMatchObject({
    era: "modern",
    protocolVersion: "2026-07-28",
    serverInfo: { name: "desk" },
  });
  const credential = new Map([["authorization", new Secret("Bearer lease")]]);
  const answer = await upstream.request(calling("echo", { text: "hi" }, { credential }));
  expect(textOf(answer)).toBe("hi");
  expect(seen.at(-1)?.headers).toMatchObject({
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "echo",
    "portcullis-decision": "decision-1",
    authorization: "Bearer lease",
  });
  expect(seen).toHaveLength(2);
});

test("arguments that a modern server wants in headers are sent there, encoded where they must be", async () => {
  const upstream = httpUpstream((await serveModern()).url);
  const paramHeaders = new Map([["Region", "Zürich"]]);
  const answer = await upstream.request(calling("move", { region: "Zürich" }, { paramHeaders }));
  expect(textOf(answer)).toBe("moved to Zürich");
  expect(await upstream.request(calling("move", { region: "Bern" }, { paramHeaders }))).toMatchObject({
    kind: "error",
  });
});

test("progress of a modern server is mapped back too", async () => {
  const upstream = httpUpstream((await serveModern()).url);
  const seen: unknown[] = [];
  const onNotification = (_: string, params: string) => seen.push(JSON.parse(params));
  await upstream.request(calling("steps", {}, { progressToken: 7, onNotification }));
  expect(seen).toMatchObject([{ progressToken: 7, progress: 1, total: 2 }]);
});

test("cancelling a call cancels it upstream in the modern era", async () => {
  const server = await serveModern();
  const upstream = httpUpstream(server.url);
  const abort = new AbortController();
  const call = upstream.request(calling("wait", {}, { signal: abort.signal }));
  await server.waiting;
  abort.abort();
  await expect(call).rejects.toMatchObject({ code: "cancelled" });
  await server.cancelled;
});

test("a change of the tool list is heard in both eras", async () => {
  const server = await serveModern();
  const upstream = httpUpstream(server.url);
  const changed = event();
  upstream.onChange(changed.resolve);
  await upstream.identify(signal);
  const again = setInterval(() => server.notify.toolsChanged(), 20);
  await changed.promise;
  clearInterval(again);
});
