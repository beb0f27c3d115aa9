import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Exchange } from "../../src/domain.ts";
import { createEdge, type Edge, LIMITS } from "./edge.ts";
import { firstAnswer, open, request, rest, send } from "./raw.ts";

const MAX = 8;

async function crowded(edge: Edge): Promise<number> {
  const { port, close } = await edge.listen("127.0.0.1", 0);
  onTestFinished(() => close(0));
  return port;
}

const part = (port: number) =>
  request(port, { headers: [["Content-Length", "100"]], body: '{"jsonrpc":"2.0",' });

test.each<[string, (socket: Socket, port: number) => unknown]>([
  ["says nothing", () => {}],
  ["never ends its head", (socket) => socket.write("POST /mcp/support HTTP/1.1\r\nX-")],
  ["never ends its body", (socket, port) => socket.write(part(port))],
  [
    "asked once and stays",
    async (socket, port) => {
      socket.write(request(port, {}));
      await firstAnswer(socket);
    },
  ],
])("who %s makes way for who comes, the oldest first", async (_, ask) => {
  const port = await crowded(createEdge({ limits: { ...LIMITS, connections: MAX } }));
  const crowd: Socket[] = [];
  for (let at = 0; at < 3 * MAX; at += 1) {
    const socket = await open(port);
    // A connection that makes way is reset where something of its was not read.
    socket.on("error", () => {});
    const { length } = crowd;
    if (length >= MAX && !crowd[length - MAX]?.destroyed) await once(crowd[length - MAX] as Socket, "close");
    crowd.push(socket);
    await ask(socket, port);
  }
  expect((await send(port, request(port, {}))).status).toBe(200);
  expect(crowd.filter(({ destroyed }) => !destroyed).length).toBeGreaterThanOrEqual(MAX - 2);
});

test("an answer under way is never cut for who comes: that one is", async () => {
  const edge = createEdge({ limits: { ...LIMITS, connections: MAX } });
  const held: Exchange[] = [];
  let arrived = (): void => {};
  edge.handle = (exchange) =>
    new Promise((done) => {
      held.push(exchange);
      exchange.whenOver(done);
      arrived();
    });
  const port = await crowded(edge);
  const sockets: Socket[] = [];
  const answers = [];
  for (let at = 0; at < MAX; at += 1) {
    const isHeld = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const socket = await open(port);
    sockets.push(socket);
    answers.push(firstAnswer(socket));
    socket.write(request(port, {}));
    await isHeld;
  }
  expect(await rest(await open(port))).toBe("");
  for (const { reply } of held) reply.json(200, "{}");
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(MAX).fill(200));
  for (const socket of sockets) socket.destroy();
});
