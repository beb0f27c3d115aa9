import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import express from "express";
import { afterEach, describe, expect, test } from "vitest";
import type { EventStream, Exchange } from "../../src/domain.ts";
import type { Listening } from "../../src/http/http.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { collected } from "../support/memory.ts";
import { createEdge, type Edge, LIMITS, type Running, run } from "./edge.ts";
import { BODY, firstAnswer, open, request, rest, send } from "./raw.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function listening(edge: Edge): Promise<Listening> {
  const server = await edge.listen("127.0.0.1", 0);
  closing.push(() => server.close(0));
  return server;
}

async function running(server: Promise<Running>): Promise<Running> {
  const started = await server;
  closing.push(started.close);
  return started;
}

/** The gateway's end of the next connection. */
function nextAccepted(): Promise<Socket> {
  return new Promise((resolve) => {
    const accept = (message: unknown) => {
      unsubscribe("net.server.socket", accept);
      resolve((message as { socket: Socket }).socket);
    };
    subscribe("net.server.socket", accept);
  });
}

/** Resolves with the first exchange that reaches the gate, which then does not answer by itself. */
function heldExchange(edge: Edge): Promise<Exchange> {
  return new Promise((resolve) => {
    edge.handle = (exchange) => {
      resolve(exchange);
      return new Promise((done) => exchange.signal.addEventListener("abort", () => done()));
    };
  });
}

test("what asks to be a proxy is answered and recorded, as every refusal is", async () => {
  const edge = createEdge();
  const { port } = await listening(edge);
  for (const target of ["upstream.example:80", "mcp.example:443"]) {
    const answer = await send(port, Buffer.from(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`));
    expect([answer.status, answer.json?.error?.data?.code]).toEqual([405, "method_not_allowed"]);
  }
  expect(edge.refused.map(({ code }) => code)).toEqual(["method_not_allowed", "method_not_allowed"]);
  expect(edge.handled).toEqual([]);
});

test("who resets the connection as it asks for that ends nothing else", async () => {
  const asking: Socket[] = [];
  const edge = createEdge({
    onRefusal: async () => {
      for (const socket of asking.splice(0)) {
        socket.resetAndDestroy();
        await once(socket, "close");
      }
    },
  });
  const { port } = await listening(edge);
  const socket = await open(port);
  asking.push(socket);
  socket.write("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(socket, "close");
  // The error that the gateway meets meanwhile would end it, and fails this run, if nobody listened for it.
  expect((await send(port, request(port, {}))).status).toBe(200);
});

test("a port that another process has, and a host that is not here, are told as such", async () => {
  const { port } = await listening(createEdge());
  await expect(createEdge().listen("127.0.0.1", port)).rejects.toMatchObject({
    code: "listen_failed",
    reason: expect.stringContaining(`EADDRINUSE: address already in use 127.0.0.1:${port}`),
  });
  await expect(createEdge().listen("192.0.2.1", 0)).rejects.toMatchObject({ code: "listen_failed" });
});

describe("bytes that never become a request are refused and recorded", () => {
  test.each([
    ["no HTTP at all", "hello\r\n\r\n", "header_malformed"],
    ["a space before the colon", "GET /mcp/support HTTP/1.1\r\nHost : a\r\n\r\n", "header_malformed"],
    [
      "Content-Length twice",
      `POST /mcp/support HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      "header_malformed",
    ],
    [
      "both lengths",
      `POST /mcp/support HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "header_malformed",
    ],
    [
      "a negative length",
      `POST /mcp/support HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n`,
      "header_malformed",
    ],
    [
      "headers past the limit",
      `GET /mcp/support HTTP/1.1\r\nX: ${"a".repeat(20_000)}\r\n\r\n`,
      "header_malformed",
    ],
    [
      "Transfer-Encoding: xchunked",
      `POST /mcp/support HTTP/1.1\r\nHost: mcp.example\r\nTransfer-Encoding: xchunked\r\n\r\n`,
      "transfer_encoding_refused",
    ],
    [
      "Transfer-Encoding: xchunked beside the MCP route",
      `GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n`,
      "transfer_encoding_refused",
    ],
    ["Host twice, beside it", "GET /metrics HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", "header_repeated"],
    ["no Host", "POST /mcp/support HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "host_refused"],
    [
      "an unknown Expect",
      `POST /mcp/support HTTP/1.1\r\nHost: mcp.example\r\nExpect: tea\r\n\r\n`,
      "header_malformed",
    ],
    ["a path that is nobody's", "GET /other HTTP/1.1\r\nHost: mcp.example\r\n\r\n", "not_found_path"],
    [
      "a chunk size that is no number",
      `POST /mcp/support HTTP/1.1\r\nHost: mcp.example\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n`,
      "header_malformed",
    ],
  ])("%s", async (_, bytes, code) => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const answer = await send(port, Buffer.from(bytes));
    expect(answer.json?.error?.data?.code).toBe(code);
    expect(edge.refused.map((refusal) => refusal.code)).toEqual([code]);
    expect(edge.handled).toEqual([]);
  });

  test.each(["POST /mcp/support", "GET /healthz"])(
    "what follows %s with a framing that was refused is not taken for a request",
    async (asked) => {
      const edge = createEdge();
      const { port } = await listening(edge);
      const socket = await open(port);
      const everything = rest(socket);
      const misframed = `${asked} HTTP/1.1\r\nHost: mcp.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`;
      socket.write(Buffer.concat([Buffer.from(misframed), request(port, {})]));
      expect((await everything).match(/HTTP\/1\.1 /g)).toHaveLength(1);
      expect(edge.handled).toEqual([]);
    },
  );

  test("garbage behind a good request does not mix into its answer", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const held = heldExchange(edge);
    const socket = await open(port);
    const everything = rest(socket);
    socket.write(request(port, {}));
    const { signal } = await held;
    socket.write("\0\0garbage\r\n\r\n");
    expect(await everything).toBe("");
    expect(signal.aborted).toBe(true);
  });

  /** Requests in one packet. The gate holds the first, and answers what comes later. */
  async function together(edge: Edge, count: number) {
    const { port } = await listening(edge);
    const held = heldExchange(edge);
    const socket = await open(port);
    const everything = rest(socket);
    socket.write(Buffer.concat(Array.from({ length: count }, () => request(port, {}))));
    const first = await held;
    edge.handle = async ({ reply }) => reply.json(200, '{"later":true}');
    return { socket, first, everything };
  }

  test("a request behind one that is still being answered waits for its turn", async () => {
    const edge = createEdge();
    const { socket, first, everything } = await together(edge, 2);
    expect(edge.handled).toHaveLength(1);
    first.reply.json(200, '{"ok":true}');
    await expect.poll(() => edge.handled.length).toBe(2);
    socket.end();
    expect(await everything).toMatch(/^HTTP\/1.1 200 .*"ok":true}HTTP\/1.1 200 .*"later":true}$/s);
    expect(edge.refused).toEqual([]);
  });

  test("two of them are one too many, and disturb no answer", async () => {
    const edge = createEdge();
    const { first, everything } = await together(edge, 3);
    await expect.poll(() => edge.refused.length).toBe(1);
    first.reply.json(200, '{"ok":true}');
    expect(await everything).toMatch(
      /^HTTP\/1.1 200 .*"ok":true}HTTP\/1.1 200 .*"later":true}HTTP\/1.1 400 .*"request_pipelined"/s,
    );
    expect(edge.refused).toEqual([expect.objectContaining({ code: "request_pipelined", server: "support" })]);
    expect(edge.handled).toHaveLength(2);
  });

  test("who goes on asking behind them is cut", async () => {
    const edge = createEdge();
    const { first, everything } = await together(edge, 4);
    expect(await everything).toBe("");
    expect(first.signal.aborted).toBe(true);
    expect(edge.handled).toHaveLength(1);
  });

  test("garbage in one packet with a request refuses that request", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const answer = await send(port, Buffer.concat([request(port, {}), Buffer.from("\0\0garbage\r\n\r\n")]));
    expect(answer.status).toBe(400);
    expect(edge.refused).toHaveLength(1);
    expect(edge.handled).toEqual([]);
  });
});

describe("slow clients", () => {
  const limits = { ...LIMITS, header_ms: 200, body_ms: 200 };

  test.each([
    ["a head that never ends", "POST /mcp/support HTTP/1.1\r\nHost: mcp.example\r\nX-", ""],
    [
      "a body that never ends",
      request(0, {
        headers: [
          ["Host", "mcp.example"],
          ["Content-Length", "100"],
        ],
      }),
      "support",
    ],
  ])("%s is answered 408, recorded once and closed", async (_, bytes, server) => {
    const edge = createEdge({ limits });
    const { port } = await listening(edge);
    const socket = await open(port);
    const everything = rest(socket);
    socket.write(bytes);
    expect(await everything).toMatch(/^HTTP\/1.1 408 .*"request_timeout"/s);
    expect(edge.refused).toEqual([expect.objectContaining({ code: "request_timeout", server })]);
    expect(edge.handled).toEqual([]);
  });

  test("many of them hold nothing back", async () => {
    const edge = createEdge({ limits: { ...limits, header_ms: 2000 } });
    const { port } = await listening(edge);
    const slow = await Promise.all(Array.from({ length: 200 }, () => open(port)));
    const closed = slow.map(rest);
    for (const socket of slow) socket.write("POST /mcp/support HTTP/1.1\r\n");
    expect((await send(port, request(port, {}))).status).toBe(200);
    await Promise.all(closed);
    expect(edge.handled).toHaveLength(1);
  });

  test.each([
    ["an MCP answer", request(0, { headers: [["Host", "mcp.example"]] })],
    ["another route's", request(0, { method: "GET", target: "/metrics", body: "" })],
  ])("who takes nothing of %s loses its connection", async (_, asked) => {
    const large = "x".repeat(1 << 20);
    const edge = createEdge({ limits, metrics: async () => large });
    edge.handle = async ({ reply }) => reply.json(200, JSON.stringify(large));
    const { port } = await listening(edge);
    const accepted = nextAccepted();
    const socket = await open(port);
    socket.pause();
    socket.write(Buffer.concat(Array.from({ length: 50 }, () => asked)));
    await once(await accepted, "close");
    const taken = rest(socket);
    socket.resume();
    expect((await taken).length).toBeLessThan(50 << 20);
  });

  test("who waits for an answer longer than any client may take is not cut", async () => {
    const edge = createEdge({ limits });
    edge.handle = async ({ reply }) => {
      await new Promise((done) => setTimeout(done, 1200));
      reply.json(200, "{}");
    };
    const { port } = await listening(edge);
    expect((await send(port, request(port, {}))).status).toBe(200);
  });

  test("a body that comes a byte a chunk takes the room of its bytes", async () => {
    const edge = createEdge({ limits: { ...LIMITS, body: 1 << 20, body_ms: 60_000 } });
    const { port } = await listening(edge);
    const accepted = nextAccepted();
    const socket = await open(port);
    const head = request(port, {
      headers: [
        ["Content-Length", null],
        ["Transfer-Encoding", "chunked"],
      ],
      body: "",
    });
    const chunks = Buffer.from("1\r\n \r\n".repeat(200_000));
    const before = collected();
    socket.write(Buffer.concat([head, chunks]));
    await expect.poll(async () => (await accepted).bytesRead).toBe(head.length + chunks.length);
    expect(collected() - before).toBeLessThan(16 << 20);
    socket.write("2\r\n{}\r\n0\r\n\r\n");
    expect((await firstAnswer(socket)).status).toBe(200);
    socket.destroy();
    expect(edge.handled[0]?.body).toEqual({});
  });

  test("bodies that never end take no more room than there is for all, and the oldest make way", async () => {
    const edge = createEdge({ limits: { ...LIMITS, body: 1 << 20, header_ms: 60_000, body_ms: 60_000 } });
    const { port } = await listening(edge);
    const unfinished = request(port, { body: BODY.padEnd(1 << 20) }).subarray(0, -1);
    const before = collected();
    const sockets = await Promise.all(Array.from({ length: 128 }, () => open(port)));
    const answers = sockets.map((socket) => firstAnswer(socket));
    for (const socket of sockets) socket.write(unfinished);
    await expect.poll(() => edge.refused.length, { timeout: 20_000 }).toBe(64);
    await expect.poll(() => collected() - before).toBeLessThan(190 << 20);
    expect((await send(port, request(port, {}))).status).toBe(200);
    for (const socket of sockets) socket.write(" ");
    const codes = (await Promise.all(answers)).map(({ status, json }) => json?.error?.data?.code ?? status);
    expect(codes.sort()).toEqual([...Array(64).fill(200), ...Array(64).fill("overloaded")]);
    for (const socket of sockets) socket.destroy();
  });

  test("a body cut short decides nothing", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const socket = await open(port);
    const recorded = new Promise<void>((resolve) => {
      const push = edge.refused.push.bind(edge.refused);
      edge.refused.push = (...refusals) => {
        resolve();
        return push(...refusals);
      };
    });
    socket.write(request(port, { headers: [["Content-Length", "100"]] }));
    socket.end();
    await recorded;
    expect([...edge.refused]).toEqual([expect.objectContaining({ code: "body_incomplete" })]);
    expect(edge.handled).toEqual([]);
  });

  test("a refused client that goes on sending reads its answer, then loses its connection", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const socket = await open(port);
    const everything = rest(socket);
    socket.write(request(port, { headers: [["Content-Length", "9999999"]] }));
    expect(await everything).toMatch(/^HTTP\/1.1 413 /);
    expect(edge.refused).toHaveLength(1);
  });
});

describe("answers", () => {
  test("a client that goes away aborts its exchange, and later answers are dropped", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const held = heldExchange(edge);
    const socket = await open(port);
    socket.write(request(port, {}));
    const exchange = await held;
    const aborted = new Promise<void>((resolve) =>
      exchange.signal.addEventListener("abort", () => resolve()),
    );
    socket.destroy();
    await aborted;
    expect(exchange.signal.aborted).toBe(true);
    exchange.reply.json(200, "{}");
    await exchange.reply.stream().send("{}");
  });

  test("an answered exchange is not aborted", async () => {
    const edge = createEdge();
    const { port } = await listening(edge);
    const socket = await open(port);
    const closed = rest(socket);
    socket.write(request(port, { headers: [["Connection", "close"]] }));
    await closed;
    expect(edge.handled[0]?.signal.aborted).toBe(false);
  });

  test.each<[string, () => Promise<void>, number, string]>([
    [
      "throws",
      async () => {
        throw new Error("secret detail");
      },
      500,
      "internal",
    ],
    [
      "refuses",
      async () => {
        throw new PortcullisError("token_missing", { headers: { "WWW-Authenticate": "Bearer" } });
      },
      401,
      "token_missing",
    ],
    ["does not answer", async () => {}, 500, "internal"],
  ])("a gate that %s never leaves the client waiting", async (_, handle, status, code) => {
    const edge = createEdge();
    edge.handle = handle;
    const { port } = await listening(edge);
    const answer = await send(port, request(port, {}));
    expect(answer.status).toBe(status);
    expect(answer.json).toMatchObject({ id: 1, error: { data: { code } } });
    expect(answer.body).not.toContain("secret");
    expect(edge.refused).toEqual([]);
  });

  test.each<[string, (port: number) => Buffer]>([
    ["bytes that are no request", () => Buffer.from("hello\r\n\r\n")],
    ["a request", (port) => request(port, { body: "{" })],
  ])("of %s the refusal is on record before it is answered", async (_, bytes) => {
    let settle: (() => void) | undefined;
    const edge = createEdge({
      onRefusal: () =>
        new Promise<void>((resolve) => {
          settle = resolve;
        }),
    });
    const { port } = await listening(edge);
    const socket = await open(port);
    let heard = 0;
    socket.on("data", ({ length }: Buffer) => {
      heard += length;
    });
    socket.write(bytes(port));
    await expect.poll(() => settle).toBeDefined();
    await new Promise((later) => setTimeout(later, 50));
    expect(heard).toBe(0);
    settle?.();
    await expect.poll(() => heard).toBeGreaterThan(0);
    socket.destroy();
  });

  test("a refusal that cannot be recorded is still a refusal", async () => {
    const edge = createEdge({ onRefusal: () => Promise.reject(new PortcullisError("audit_unavailable")) });
    const { port } = await listening(edge);
    expect((await send(port, request(port, { body: "{" }))).status).toBe(400);
    expect(edge.handled).toEqual([]);
  });

  test("one message is one event, whatever line ends stand in its JSON", async () => {
    const edge = createEdge();
    edge.handle = async ({ reply }) => {
      const stream = reply.stream({ "Mcp-Session-Id": "s" });
      await stream.send('{\r\n"a":\n\n1}');
      await stream.send('{"b":2}');
      stream.end();
    };
    const { port } = await listening(edge);
    const response = await fetch(`http://127.0.0.1:${port}/mcp/support`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "*/*" },
      body: BODY,
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(response.headers.get("mcp-session-id")).toBe("s");
    expect(await response.text()).toBe(
      'event: message\ndata: {  "a":  1}\n\nevent: message\ndata: {"b":2}\n\n',
    );
  });

  test("a silent stream is kept alive", async () => {
    const edge = createEdge({ limits: { ...LIMITS, keepalive_ms: 10 } });
    edge.handle = async ({ reply }) => void reply.stream();
    const { port } = await listening(edge);
    const socket = await open(port);
    socket.write(request(port, {}));
    await new Promise<void>((resolve) => {
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
        if (text.includes(": keep-alive\n\n")) resolve();
      });
    });
    socket.destroy();
  });

  test("a stream waits for a slow reader, and drops one that stopped reading", async () => {
    const edge = createEdge({ limits: { ...LIMITS, keepalive_ms: 50 } });
    let stream: EventStream | undefined;
    const opened = new Promise<Exchange>((resolve) => {
      edge.handle = async (exchange) => {
        stream = exchange.reply.stream();
        resolve(exchange);
      };
    });
    const { port } = await listening(edge);
    const socket = await open(port);
    socket.pause();
    socket.write(request(port, {}));
    const exchange = await opened;
    const sent = stream?.send(`"${"a".repeat(50_000_000)}"`);
    expect(await Promise.race([sent?.then(() => "sent"), Promise.resolve("waiting")])).toBe("waiting");
    await sent;
    expect(exchange.signal.aborted).toBe(true);
    socket.destroy();
  });
});

describe("draining", () => {
  test("answers what is in flight, accepts nothing new, and then ends", async () => {
    const edge = createEdge();
    const server = await edge.listen("127.0.0.1", 0);
    const arrived = new Promise<Exchange>((resolve) => {
      edge.handle = (exchange) => {
        resolve(exchange);
        return new Promise((done) => {
          finish = () => {
            exchange.reply.json(200, '{"late":true}');
            done();
          };
        });
      };
    });
    let finish = (): void => {};
    const idle = await open(server.port);
    const idleClosed = rest(idle);
    const socket = await open(server.port);
    const answer = firstAnswer(socket);
    socket.write(request(server.port, {}));
    await arrived;
    const closed = server.close(5000);
    await idleClosed;
    await expect(open(server.port)).rejects.toThrow();
    finish();
    expect((await answer).body).toBe('{"late":true}');
    await closed;
  });

  test("a request on a connection that was already open is refused", async () => {
    const edge = createEdge();
    const server = await edge.listen("127.0.0.1", 0);
    const held = heldExchange(edge);
    const busy = await open(server.port);
    busy.write(request(server.port, {}));
    await held;
    const half = await open(server.port);
    const bytes = request(server.port, {});
    const first = firstAnswer(half);
    half.write(request(server.port, { body: "{" }));
    await first;
    half.write(bytes.subarray(0, 30));
    // What arrives on another connection afterwards shows that those bytes have been read.
    await send(server.port, request(server.port, { body: "{" }));
    const closed = server.close(60_000);
    const answer = firstAnswer(half);
    half.write(bytes.subarray(30));
    expect((await answer).json?.error?.data?.code).toBe("shutting_down");
    busy.destroy();
    await closed;
  });

  test("cuts what does not end within the deadline", async () => {
    const edge = createEdge();
    const server = await edge.listen("127.0.0.1", 0);
    const held = heldExchange(edge);
    const socket = await open(server.port);
    const closed = rest(socket);
    socket.write(request(server.port, {}));
    await held;
    await server.close(50);
    expect(await closed).toBe("");
  });
});

describe("in a host's application", () => {
  test("a body that the host's parser has read is a clear error, not a hang", async () => {
    const edge = createEdge();
    const { port } = await running(run(createServer(express().use(express.json()).use(edge.app)), ""));
    const answer = await send(port, request(port, {}));
    expect(answer.status).toBe(500);
    expect(answer.json?.error?.data?.code).toBe("body_consumed");
    expect(edge.refused.map(({ code }) => code)).toEqual(["body_consumed"]);
    expect(edge.handled).toEqual([]);
  });

  test("what is not ours is left to the host", async () => {
    const edge = createEdge();
    const host = express()
      .use(edge.app)
      .get("/hello", (_, response) => void response.send("host"));
    const { port } = await running(run(createServer(host), ""));
    expect((await send(port, request(port, { method: "GET", target: "/hello", body: "" }))).body).toBe(
      "host",
    );
    expect(edge.refused).toEqual([]);
  });

  test("a target that the host rewrote is still judged as it was sent", async () => {
    const edge = createEdge();
    const host = express()
      .use((incoming, _, next) => {
        incoming.url = "/mcp/support";
        next();
      })
      .use(edge.app);
    const { port } = await running(run(createServer(host), ""));
    expect((await send(port, request(port, { target: "/mcp/../mcp/support" }))).status).toBe(404);
    expect(edge.handled).toEqual([]);
  });
});

describe("operation", () => {
  test("health, readiness and metrics are told", async () => {
    let reasons: string[] = [];
    const edge = createEdge({
      ready: () => reasons,
      mounts: [
        { path: "/oauth", handler: (_, response) => void response.end("oauth") },
        { path: "/broken", handler: async () => Promise.reject(new Error("secret detail")) },
      ],
    });
    const { port } = await listening(edge);
    const get = (target: string) => send(port, request(port, { method: "GET", target, body: "" }));
    expect(await get("/healthz")).toMatchObject({ status: 200, body: '{"ok":true}' });
    expect(await get("/readyz")).toMatchObject({ status: 200, body: '{"ok":true,"reasons":[]}' });
    reasons = ["the decision log cannot be written"];
    expect(await get("/readyz")).toMatchObject({ status: 503, json: { ok: false, reasons } });
    expect(await get("/metrics")).toMatchObject({ status: 200, body: "up 1\n" });
    expect(await get("/oauth/x")).toMatchObject({ status: 200, body: "oauth" });
    const broken = await get("/broken");
    expect(broken.json?.error?.data?.code).toBe("internal");
    expect(broken.body).not.toContain("secret");
  });
});
