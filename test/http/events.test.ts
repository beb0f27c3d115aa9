import { expect, test } from "vitest";
import type { EventStream, Exchange } from "../../src/domain.ts";
import { createEdge } from "./edge.ts";
import { open, request, rest } from "./raw.ts";

/** What a client reads of a stream that says this. */
async function streamed(say: (stream: EventStream) => void): Promise<string> {
  const edge = createEdge();
  let exchange: Exchange | undefined;
  edge.handle = async (received) => {
    exchange = received;
    const stream = received.reply.stream();
    say(stream);
    stream.end();
    await stream.closed;
  };
  const server = await edge.listen("127.0.0.1", 0);
  const socket = await open(server.port);
  const all = rest(socket);
  socket.write(request(server.port, { headers: [["Connection", "close"]] }));
  const text = await all;
  expect(exchange).toBeDefined();
  await server.close(0);
  return text;
}

test("an event that can be asked for again has its id; another has none", async () => {
  const text = await streamed((stream) => {
    stream.send('{"n":1}', "one.7").catch(() => {});
    stream.send('{"n":\n2}').catch(() => {});
  });
  expect(text).toContain('event: message\nid: one.7\ndata: {"n":1}\n\n');
  expect(text).toContain('event: message\ndata: {"n": 2}\n\n');
});

test("a primed stream tells from where, and when, to resume, before any message", async () => {
  const text = await streamed((stream) => void stream.send("", "one.1").catch(() => {}));
  expect(text).toContain("id: one.1\nretry: 1000\ndata: \n\n");
  expect(text).not.toContain("event: message");
});
