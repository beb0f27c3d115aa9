import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, expect, test } from "vitest";
import type { Lease } from "../../src/domain.ts";
import { Secret } from "../../src/lib/secret.ts";
import { serveStateful } from "./legacy-server.ts";
import { calling, closeAll, httpUpstream, onClose, serveRaw } from "./servers.ts";

afterEach(closeAll);
const folder = mkdtempSync(join(tmpdir(), "portcullis-tls-"));
afterAll(() => rmSync(folder, { recursive: true }));

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: "pipe", cwd: folder });
}
const read = (name: string) => readFileSync(join(folder, name), "utf8");
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A certificate of the test's own authority. */
function issue(name: string) {
  openssl("req", ...EC, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
  writeFileSync(join(folder, "san"), "subjectAltName=IP:127.0.0.1");
  const ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san"];
  openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...ca);
  return { certificate: read(`${name}.pem`), key: read(`${name}.key`) };
}
openssl("req", "-x509", ...EC, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority");
const ca = read("ca.pem");

/** Answers a call with the name in the client's certificate, which it insists on. */
async function serveMutual() {
  const { certificate, key } = issue("server");
  const sockets = new Set<unknown>();
  const server = createServer(
    { cert: certificate, key, ca, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      const who = socket.getPeerCertificate().subject?.CN ?? "nobody";
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const { id, method } = JSON.parse(Buffer.concat(chunks).toString() || "{}");
        if (method === "tools/call") sockets.add(socket);
        const identity = { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: {} };
        const result = method === "initialize" ? identity : { content: [], who };
        if (id === undefined) return void response.writeHead(202).end();
        if (method === "server/discover") return void response.writeHead(400).end();
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
      });
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onClose(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, sockets };
}

function leaseOf(name: string, expires = Date.now() + 60_000): Lease {
  const { certificate, key } = issue(name);
  return {
    expires,
    headers: new Map(),
    certificate: { certificate, key: new Secret(key) },
    sha256: `sha-${name}`,
    async revoke() {},
  };
}

test("a lease's certificate is shown on connections of its own, by no other request", async () => {
  const { url, sockets } = await serveMutual();
  const upstream = httpUpstream(url, { ca });
  const who = async (lease?: Lease) => {
    const more = lease === undefined ? {} : { lease };
    return JSON.parse((await upstream.request(calling("any", {}, more))).text).who;
  };
  const [ann, bob] = [leaseOf("ann"), leaseOf("bob")];
  expect([await who(ann), await who(bob), await who(), await who(ann)]).toEqual([
    "ann",
    "bob",
    "nobody",
    "ann",
  ]);
  expect(sockets.size).toBe(3);
});

test("connections are closed when the lease is over", async () => {
  const { url, sockets } = await serveMutual();
  const upstream = httpUpstream(url, { ca, clock: () => 0 });
  const lease = leaseOf("cho", 1000);
  await upstream.request(calling("any", {}, { lease }));
  const [socket] = [...sockets] as TLSSocket[];
  if (socket?.closed === false) await once(socket, "close");
  expect(socket?.destroyed).toBe(true);
});

test("a private authority is trusted only where it is configured", async () => {
  const { url } = await serveMutual();
  await expect(httpUpstream(url).request(calling("any", {}))).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
  expect(await httpUpstream(url, { ca }).request(calling("any", {}))).toMatchObject({ kind: "result" });
});

test("nothing of a lease is left out: what cannot travel there is refused, unsent", async () => {
  let requests = 0;
  const { url } = await serveRaw((_, response, body) => {
    requests += 1;
    const result = { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: {} };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id: JSON.parse(body).id, result }));
  });
  const upstream = httpUpstream(url, { era: "legacy" });
  await upstream.identify(new AbortController().signal);
  const before = requests;
  const call = upstream.request(calling("any", {}, { lease: leaseOf("dee") }));
  await expect(call).rejects.toMatchObject({ code: "credential_unavailable" });
  const { certificate: _, ...lease } = leaseOf("dee");
  const inEnv = { ...lease, env: new Map([["TOKEN", new Secret("one")]]) };
  for (const more of [{}, { headers: new Map([["authorization", new Secret("Bearer one")]]) }]) {
    const asked = upstream.request(calling("any", {}, { lease: { ...inEnv, ...more } }));
    await expect(asked).rejects.toMatchObject({ code: "credential_refused" });
  }
  expect(requests).toBe(before);
});

test("a session whose last lease cannot travel there is let go of, and leaves no timer that throws", async () => {
  const { url } = await serveStateful();
  const upstream = httpUpstream(url, { timeouts: { connectMs: 500 } });
  await upstream.request(calling("echo", {}));
  const refused = upstream.request(calling("echo", {}, { lease: leaseOf("eve") }));
  await expect(refused).rejects.toMatchObject({ code: "credential_unavailable" });
  await expect(upstream.release("ann")).resolves.toBeUndefined();
  await sleep(600);
});
