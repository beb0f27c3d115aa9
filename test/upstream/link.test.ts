import { getEventListeners } from "node:events";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createDispatchers } from "../../src/upstream/dispatchers.ts";
import { createLink } from "../../src/upstream/link.ts";
import { closeAll, onClose, serveRaw } from "./servers.ts";

afterEach(closeAll);

function linkTo(url: string) {
  const { origin, pathname } = new URL(url);
  const kept = { connectMs: 1000, connections: 2, streams: 2 };
  const dispatchers = createDispatchers({ origin, ...kept, clock: systemClock });
  onClose(() => dispatchers.close());
  return createLink({
    dispatchers,
    path: pathname,
    limits: { answerBytes: 1000, streamBytes: 1000 },
    idleMs: 0,
    postMs: 100,
    reconnect: { firstMs: 1, maxMs: 1 },
    log: silentLog,
    onListChanged() {},
  });
}

test.each([
  ["cannot be sent", "one\r\ntwo"],
  ["ends", "one"],
])("a stream that %s leaves nothing with the signal that would have ended it", async (_, token) => {
  const { url } = await serveRaw((_request, response) => void response.end());
  const { signal } = new AbortController();
  const access = { credential: new Map([["authorization", new Secret(token)]]) };
  await linkTo(url)
    .stream({ method: "GET", headers: [], access, signal, onOpen() {}, receive() {} })
    .catch(() => {});
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
