import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../../src/demo/free-port.ts";

const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

test.runIf(process.platform === "linux")(
  "a free port is none that the system gives to others meanwhile",
  async () => {
    const [first] = readFileSync(RANGE, "latin1").split("\t").map(Number);
    for (let at = 0; at < 100; at += 1) expect(await freePort()).toBeLessThan(first ?? 0);
  },
);

test("the wanted port is given where it is free, and another where it is not", async () => {
  const wanted = await freePort();
  expect(await freePort(wanted)).toBe(wanted);
  const server = createServer().listen(wanted, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  expect(await freePort(wanted)).not.toBe(wanted);
});
