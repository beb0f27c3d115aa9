import { Pool } from "undici";
import { startServer } from "./server.ts";

/** The floor: node:http in, an undici pool out, the body passed on unread. It decides and records nothing. */
export function startForwarder(upstream: string): Promise<{ readonly url: string }> {
  const { origin, pathname } = new URL(upstream);
  const pool = new Pool(origin, { connections: 64 });
  return startServer((_, body, response) => {
    pool
      .request({
        path: pathname,
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
        body,
      })
      .then(async (answer) => {
        const text = Buffer.from(await answer.body.arrayBuffer());
        response
          .writeHead(answer.statusCode, {
            "content-type": "application/json",
            "content-length": text.length,
          })
          .end(text);
      })
      .catch(() => response.writeHead(502).end());
  });
}
