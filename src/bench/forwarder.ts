import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

/** The floor: node:http in, an undici pool out, the body passed on unread. It decides and records nothing. */
export function startForwarder(upstream: string): Promise<{ readonly url: string }> {
  const { origin, pathname } = new URL(upstream);
  const pool = new Pool(origin, { connections: 64 });
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      pool
        .request({
          path: pathname,
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
          body: Buffer.concat(chunks),
        })
        .then(async (answer) => {
          const body = Buffer.from(await answer.body.arrayBuffer());
          response
            .writeHead(answer.statusCode, {
              "content-type": "application/json",
              "content-length": body.length,
            })
            .end(body);
        })
        .catch(() => response.writeHead(502).end());
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp` });
    });
  });
}
