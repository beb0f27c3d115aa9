import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { openValkeyStore } from "../../src/store/valkey.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";

let opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.reverse()) await one.close();
  opened = [];
});

async function start(args?: Parameters<typeof startValkey>[0]): Promise<Valkey> {
  const valkey = await startValkey(args);
  opened.push(valkey);
  return valkey;
}

async function open(url: string, password?: Secret): Promise<SharedStore> {
  const store = await openValkeyStore({ url, prefix: "p:", log: silentLog, ...(password && { password }) });
  opened.push(store);
  return store;
}

async function untilHealthy(store: SharedStore): Promise<number> {
  const from = Date.now();
  while (!store.healthy) await delay(10);
  return Date.now() - from;
}

const unavailable = expect.objectContaining({ code: "store_unavailable" });

test("a killed server refuses fast; started again it serves and is heard within seconds", async () => {
  const valkey = await start();
  const store = await open(valkey.url);
  const heard: string[] = [];
  await store.subscribe("c", (message) => heard.push(message));
  let failures = 0;
  let slowest = 0;
  let running = true;
  const use = (async () => {
    while (running) {
      const from = Date.now();
      await store.set("k", "v", 1000).catch((error: unknown) => {
        expect(error).toEqual(unavailable);
        failures += 1;
      });
      slowest = Math.max(slowest, Date.now() - from);
      await delay(2);
    }
  })();
  await valkey.stop();
  while (store.healthy || failures === 0) await delay(5);
  await valkey.start();
  expect(await untilHealthy(store)).toBeLessThan(5000);
  running = false;
  await use;
  expect(failures).toBeGreaterThan(0);
  expect(slowest).toBeLessThan(3000);
  // A server without its scripts is given them again, and channels are subscribed to again.
  expect(await store.join("s", "m", 1000, 1)).toBe(true);
  await store.publish("c", "after");
  while (heard.length === 0) await delay(5);
  expect(heard).toEqual(["after"]);
});

test("a server that hangs is given up within its deadline, and what waits with it", async () => {
  const valkey = await start();
  const store = await open(valkey.url);
  valkey.pause();
  const from = Date.now();
  const all = await Promise.allSettled([store.get("a"), store.add("b", "x", 1000), store.publish("c", "m")]);
  expect(Date.now() - from).toBeLessThan(3000);
  for (const one of all)
    expect(one).toMatchObject({ status: "rejected", reason: { code: "store_unavailable" } });
  // From now on at once, without a turn of the event loop.
  const turn = new Promise((next) => setImmediate(next, "later"));
  await expect(Promise.race([store.get("a"), turn])).rejects.toEqual(unavailable);
  valkey.resume();
  expect(await untilHealthy(store)).toBeLessThan(5000);
  expect(await store.get("a")).toBeUndefined();
});

test("a hanging server is noticed even when nobody asks it anything", async () => {
  const valkey = await start();
  const store = await open(valkey.url);
  valkey.pause();
  while (store.healthy) await delay(10);
  valkey.resume();
});

test("without a server it opens, unhealthy, and serves once there is one", async () => {
  const valkey = await start();
  await valkey.stop();
  const store = await open(valkey.url);
  expect(store.healthy).toBe(false);
  await expect(store.get("a")).rejects.toEqual(unavailable);
  await store.subscribe("c", () => {});
  await valkey.start();
  expect(await untilHealthy(store)).toBeLessThan(5000);
});

test("a server that answers nonsense is unavailable, not believed", async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const store = await openValkeyStore({
    url: `redis://127.0.0.1:${address.port}`,
    prefix: "p:",
    log: silentLog,
  });
  expect(store.healthy).toBe(false);
  await expect(store.get("a")).rejects.toEqual(unavailable);
  await store.close();
  for (const socket of sockets) socket.destroy();
  server.close();
});

test("a password is needed where the server wants one, and no error tells it", async () => {
  const valkey = await start(() => ["--requirepass", "s3cret-pass"]);
  const stranger = await open(valkey.url, new Secret("wr0ng-pass"));
  const error: unknown = await stranger.get("a").catch((thrown: unknown) => thrown);
  expect(error).toEqual(unavailable);
  expect(String(error) + String((error as Error).cause)).not.toMatch(/wr0ng|s3cret/);
  const store = await open(valkey.url, new Secret("s3cret-pass"));
  await store.set("a", "b", 1000);
  expect(await store.get("a")).toBe("b");
});

test("over TLS the server must be who its authority says", async () => {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-valkey-tls-"));
  const [certificate, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const subject = ["-subj", "/CN=valkey", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "1",
  ];
  execFileSync("openssl", [...made, ...subject, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const ca = readFileSync(certificate, "utf8");
  const files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
  const valkey = await start((port) => [
    "--port",
    "0",
    "--tls-port",
    `${port}`,
    "--tls-auth-clients",
    "no",
    ...files,
  ]);
  const url = valkey.url.replace("redis:", "rediss:");
  const store = await openValkeyStore({ url, ca, prefix: "p:", log: silentLog });
  opened.push(store);
  await store.set("a", "b", 1000);
  expect(await store.get("a")).toBe("b");
  const strict = await open(url);
  await expect(strict.get("a")).rejects.toEqual(unavailable);
  const plain = await open(valkey.url);
  await expect(plain.get("a")).rejects.toEqual(unavailable);
  rmSync(directory, { recursive: true });
});

test("gateways with other prefixes share a server and nothing else", async () => {
  const valkey = await start();
  const [one, other] = [
    await open(valkey.url),
    await openValkeyStore({ url: valkey.url, prefix: "q:", log: silentLog }),
  ];
  opened.push(other);
  const heard: string[] = [];
  await other.subscribe("c", (message) => heard.push(message));
  await one.set("k", "mine", 1000);
  await one.publish("c", "mine");
  expect(await other.get("k")).toBeUndefined();
  await other.publish("c", "own");
  while (heard.length === 0) await delay(5);
  expect(heard).toEqual(["own"]);
});

test("closing ends its connections and its attempts, also while the server is away", async () => {
  const valkey = await start();
  const store = await openValkeyStore({ url: valkey.url, prefix: "p:", log: silentLog });
  await valkey.stop();
  await store.close();
  await expect(store.get("a")).rejects.toEqual(unavailable);
});
