import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { ListenRequest, UpstreamRequest } from "../../src/domain.ts";
import { abortSignalOf } from "../../src/lib/cancellation.ts";
import { Secret } from "../../src/lib/secret.ts";
import { discreet } from "../../src/upstream/discreet.ts";
import { serveStateful } from "./legacy-server.ts";
import { calling, closeAll, event, httpUpstream, serveListening, serveRaw } from "./servers.ts";

afterEach(closeAll);
const QUICK = { timeouts: { reconnect: { firstMs: 5, maxMs: 20 } } };

function listening(uris: readonly string[], more: Partial<ListenRequest> = {}): ListenRequest {
  const { sessionKey, clientInfo, decisionId, credential, signal } = calling("", {});
  const own = { sessionKey, clientInfo, decisionId, credential, signal: abortSignalOf(signal) };
  return { ...own, uris, onNotification() {}, ...more };
}

/** Streams of sessions whose server has begun them, so that what it says is heard. */
const openStreams = ({ seen }: Awaited<ReturnType<typeof serveStateful>>) =>
  seen.filter(
    ({ verb, response }) =>
      verb === "GET" && response.statusCode === 200 && response.headersSent && !response.closed,
  ).length;

test("updates of subscribed resources reach the owner who listens, and refusals are told", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  const heard = event();
  const seen: unknown[] = [];
  const { refused } = await upstream.listen(
    listening(["a:1", "secret:1"], {
      onNotification: (method, params) => {
        seen.push([method, params]);
        heard.resolve();
      },
    }),
  );
  expect([...refused.keys()]).toEqual(["secret:1"]);
  expect(JSON.parse(refused.get("secret:1") ?? "")).toMatchObject({ message: "no" });
  await server.update("a:1");
  await heard.promise;
  expect(seen).toEqual([["notifications/resources/updated", '{"uri":"a:1"}']]);
});

test("a request's secret is not told on the stream beside it, to whoever listens there with another one", async () => {
  const server = await serveStateful();
  const upstream = discreet(httpUpstream(server.url), []);
  const heard: string[] = [];
  const over = new AbortController();
  const leaseOf = (token: string): Pick<UpstreamRequest, "credential" | "lease"> => {
    const credential = new Map([["authorization", new Secret(`Bearer ${token}`)]]);
    const { signal: ended } = over;
    const lease = { expires: 0, headers: credential, sha256: token, ended, revoke: async () => {} };
    return { credential, lease };
  };
  await upstream.listen(
    listening(["a:1"], {
      logLevel: "debug",
      onNotification: (method, params) => void heard.push(`${method} ${params}`),
      ...leaseOf("listener-1234567"),
    }),
  );
  await upstream.request(calling("logRequest", {}, leaseOf("reader-1234567")));
  await upstream.request(calling("logRequest", {}, leaseOf("refunder-1234567")));
  await expect.poll(() => heard.length).toBe(2);
  expect(heard.join()).not.toMatch(/1234567/);
  expect(heard.map((one) => one.includes('"authorization":"Bearer [withheld]"'))).toEqual([true, true]);
});

test("a second listening takes the place of the first: what is wanted no longer is unsubscribed", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  const heard: string[] = [];
  await upstream.listen(listening(["a:1", "a:2"], { onNotification: () => heard.push("first") }));
  const second = event();
  await upstream.listen(
    listening(["a:2", "a:3"], {
      onNotification: () => {
        heard.push("second");
        second.resolve();
      },
    }),
  );
  await expect
    .poll(() => [...server.subscriptions.values()].map((uris) => [...uris].sort()))
    .toEqual([["a:2", "a:3"]]);
  await server.update("a:2");
  await second.promise;
  expect(heard).toEqual(["second"]);
  expect(server.seen.filter(({ verb }) => verb === "GET")).toHaveLength(1);
  const subscribes = server.seen.filter(({ method }) => method === "resources/subscribe");
  expect(subscribes).toHaveLength(3);
});

test("one that cannot begin leaves the listening before it in place, and both end with their session", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url, QUICK);
  const heard: string[] = [];
  await upstream.listen(listening(["a:1"], { onNotification: (_, params) => heard.push(params) }));
  await expect(upstream.listen(listening(["down:1"]))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  await server.update("a:1");
  await expect.poll(() => heard).toEqual(['{"uri":"a:1"}']);
  await upstream.release("ann");
  const opened = () => server.seen.filter(({ method }) => method === "initialize").length;
  const before = opened();
  await sleep(100);
  expect([opened(), server.sessions.size]).toEqual([before, 1]);
});

test("listening ends with its signal: nothing stays subscribed and the stream is closed", async () => {
  const server = await serveStateful();
  const abort = new AbortController();
  await httpUpstream(server.url).listen(listening(["a:1"], { signal: abort.signal }));
  abort.abort();
  await expect.poll(() => [...server.subscriptions.values()].map(({ size }) => size)).toEqual([0]);
});

test("a listening that ends before its server has answered leaves nothing subscribed", async () => {
  const server = await serveStateful();
  const abort = new AbortController();
  const refusal = httpUpstream(server.url)
    .listen(listening(["slow:1"], { signal: abort.signal }))
    .catch(({ code }) => code);
  await server.subscribed;
  abort.abort();
  expect(await refusal).toBe("cancelled");
  await expect.poll(() => [...server.subscriptions.values()].map(({ size }) => size)).toEqual([0]);
});

test("what is subscribed to is asked for with the credential of who wants it, not of who came first", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  for (const token of ["first", "second"]) {
    const credential = new Map([["authorization", new Secret(`Bearer ${token}`)]]);
    await upstream.listen(listening([`a:${token}`], { credential }));
  }
  const subscribes = server.seen.filter(({ method }) => method === "resources/subscribe");
  const sent = subscribes.map(({ request }) => request.headers.authorization);
  expect(sent).toEqual(["Bearer first", "Bearer second"]);
});

test("a listener hears again after its server lost all sessions", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url, QUICK);
  const heard = event();
  await upstream.listen(listening(["a:1"], { onNotification: heard.resolve }));
  server.forgetAll();
  await expect.poll(() => [...server.subscriptions.values()].map((uris) => [...uris])).toEqual([["a:1"]]);
  await expect.poll(() => openStreams(server)).toBeGreaterThan(0);
  await server.update("a:1");
  await heard.promise;
});

test("what was sent while the stream was broken is asked for", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url, QUICK);
  const heard: string[] = [];
  await upstream.listen(listening(["a:1"], { onNotification: (_, params) => heard.push(params) }));
  await server.update("a:1");
  await expect.poll(() => heard.length).toBe(1);
  server.dropConnections();
  await server.update("a:1");
  await expect.poll(() => heard.length).toBe(2);
});

test("log messages that belong to no request reach the listener at its level", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  const heard: string[] = [];
  await upstream.listen(
    listening([], { logLevel: "error", onNotification: (_, params) => heard.push(params) }),
  );
  await upstream.request(calling("log", {}));
  await expect.poll(() => heard).toEqual(['{"level":"error","data":"aside"}']);
});

test("changes of every list are heard on the gateway's own stream", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  const heard: string[] = [];
  upstream.onChange((what) => heard.push(what));
  await expect.poll(() => openStreams(server)).toBe(1);
  for (const { server: one } of server.sessions.values()) {
    await one.sendToolListChanged();
    await one.sendResourceListChanged();
    await one.sendPromptListChanged();
  }
  await expect.poll(() => heard).toEqual(["tools", "resources", "prompts"]);
});

test("updates of a modern server come without its subscription's id; what it does not offer is refused", async () => {
  const server = await serveListening({ resources: { subscribe: true } });
  const heard: string[] = [];
  const { refused } = await httpUpstream(server.url, QUICK).listen(
    listening(["a:1"], { onNotification: (_, params) => heard.push(params) }),
  );
  expect(refused.size).toBe(0);
  server.notify.resourceUpdated("a:1");
  server.notify.resourceUpdated("a:2");
  await expect.poll(() => heard).toEqual(['{"uri":"a:1"}']);

  const other = await serveListening({ resources: {} });
  const outcome = await httpUpstream(other.url, QUICK).listen(listening(["a:1"]));
  expect([...outcome.refused.keys()]).toEqual(["a:1"]);
});

test("a modern listener is opened again when its server ends the stream, and replaced without a gap", async () => {
  const server = await serveListening({ resources: { subscribe: true } });
  const upstream = httpUpstream(server.url, QUICK);
  const heard: string[] = [];
  const onNotification = (_: string, params: string) => heard.push(params);
  await upstream.listen(listening(["a:1"], { onNotification }));
  await upstream.listen(listening(["a:2"], { onNotification }));
  server.notify.resourceUpdated("a:2");
  await expect.poll(() => heard).toEqual(['{"uri":"a:2"}']);
  const before = server.streams();
  server.dropConnections();
  await expect.poll(() => server.streams()).toBe(before + 1);
  await expect
    .poll(() => {
      server.notify.resourceUpdated("a:2");
      server.notify.resourceUpdated("a:1");
      return heard;
    })
    .toContain('{"uri":"a:2"}');
  expect(heard).not.toContain('{"uri":"a:1"}');
});

test("listening where nobody answers is an error, and does not go on", async () => {
  const server = await serveStateful();
  await server.close();
  await expect(httpUpstream(server.url, QUICK).listen(listening([]))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
});

test.each(["null", "[]", '{"notifications":null}'])(
  "who acknowledges %s agreed to nothing",
  async (params) => {
    const { url } = await serveRaw((_, response, body) => {
      const { id, method } = JSON.parse(body);
      if (method === "server/discover") {
        const result = { supportedVersions: ["2026-07-28"], capabilities: {} };
        response.setHeader("content-type", "application/json");
        return void response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
      }
      const said = `"method":"notifications/subscriptions/acknowledged","params":${params}`;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: {"jsonrpc":"2.0",${said}}\n\n`);
    });
    const { refused } = await httpUpstream(url).listen(listening(["a:1"]));
    expect([...refused.keys()]).toEqual(["a:1"]);
  },
);

test("a subscription's stream says nothing of how any request gets on: its listener's own could be named", async () => {
  const { url } = await serveRaw((_, response, body) => {
    const { id, method, params } = JSON.parse(body);
    if (method === "server/discover") {
      const result = { supportedVersions: ["2026-07-28"], capabilities: { resources: { subscribe: true } } };
      response.setHeader("content-type", "application/json");
      return void response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
    }
    const _meta = { "io.modelcontextprotocol/subscriptionId": id };
    const { notifications } = params;
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const [method, params] of [
      ["subscriptions/acknowledged", { _meta, notifications }],
      ["progress", { progressToken: 1, progress: 1 }],
      ["progress", { _meta, progressToken: 1, progress: 1 }],
      ["resources/updated", { _meta, uri: "a:1" }],
    ])
      response.write(
        `data: ${JSON.stringify({ jsonrpc: "2.0", method: `notifications/${method}`, params })}\n\n`,
      );
  });
  const heard: string[] = [];
  await httpUpstream(url).listen(listening(["a:1"], { onNotification: (method) => void heard.push(method) }));
  await expect.poll(() => heard).toContain("notifications/resources/updated");
  expect(heard).toEqual(["notifications/resources/updated"]);
});
