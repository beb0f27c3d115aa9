import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { askControl, type Control, openControl } from "../../src/operation/control.ts";

const folder = mkdtempSync(join(tmpdir(), "pc-control-"));
const path = join(folder, "state", "control.sock");
let control: Control | undefined;

afterEach(() => control?.close());
afterAll(() => rmSync(folder, { recursive: true }));

const verbs = {
  echo: async (ask: object) => ({ ...ask }),
  fails: async () => Promise.reject(new Error("secret cause")),
};

test("only the owner can open the socket and its folder", async () => {
  control = await openControl(path, verbs);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "state")).mode & 0o777).toBe(0o700);
});

test("a socket that a killed gateway left behind is replaced", async () => {
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  mkdirSync(join(folder, "state"), { recursive: true });
  expect(spawnSync(process.execPath, ["-e", script]).signal).toBe("SIGKILL");
  expect(statSync(path).isSocket()).toBe(true);
  control = await openControl(path, verbs);
  expect(await askControl(path, "echo", { a: 1 })).toEqual({ a: 1 });
});

test("a gateway does not take the socket of one that is running", async () => {
  control = await openControl(path, { who: async () => "the first" });
  await expect(openControl(path, verbs)).rejects.toMatchObject({
    code: "control_unusable",
    reason: `another gateway answers at ${path}`,
  });
  expect(await askControl(path, "who", {})).toBe("the first");
});

test("a path that a socket would cut short is refused, at both ends", async () => {
  const long = join(folder, "x".repeat(110), "control.sock");
  const refused = { code: "control_unusable", reason: expect.stringContaining("state.path is too long") };
  await expect(openControl(long, verbs)).rejects.toMatchObject(refused);
  await expect(askControl(long, "echo", {})).rejects.toMatchObject(refused);
});

test.each([
  ["is silent", "", "upstream_timeout"],
  [
    "breaks off within its answer",
    'HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{"result"',
    "upstream_protocol",
  ],
  ["goes away before it", null, "upstream_protocol"],
  ["is no gateway", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "upstream_protocol"],
])(
  "who answers there and %s leaves no command waiting, or thinking that nobody runs",
  async (_, bytes, code) => {
    mkdirSync(join(folder, "state"), { recursive: true });
    const server = createServer((socket) => {
      socket
        .on("error", () => {})
        .once("data", () => {
          if (bytes !== "") socket.end(bytes ?? "");
        });
    }).listen(path);
    await once(server, "listening");
    await expect(askControl(path, "echo", {}, 500)).rejects.toMatchObject({ code });
    await new Promise((closed) => server.close(closed));
  },
);

test.each(["reboot", "__proto__", "toString", "../echo", ""])("there is no verb %j", async (verb) => {
  control = await openControl(path, verbs);
  await expect(askControl(path, verb, {})).rejects.toMatchObject({ reason: `there is no "${verb}"` });
});

test("a question that is too large is refused, and the next one answered", async () => {
  control = await openControl(path, verbs);
  const large = { text: "x".repeat(1024 * 1024) };
  await expect(askControl(path, "echo", large)).rejects.toMatchObject({ reason: "over 65536 bytes" });
  expect(await askControl(path, "echo", {})).toEqual({});
});

test.each(["", "{", "[]", "null", "1"])("the body %j is refused as no question", async (body) => {
  control = await openControl(path, verbs);
  const answer = await new Promise<string>((resolve, reject) => {
    const call = request({ socketPath: path, path: "/echo", method: "POST" }, (response) => {
      response.setEncoding("utf8").on("data", resolve);
    });
    call.on("error", reject).end(body);
  });
  expect(JSON.parse(answer)).toEqual({ error: { code: "params_invalid", message: "an object is needed" } });
});

test("what fails inside is answered without its cause", async () => {
  control = await openControl(path, verbs);
  await expect(askControl(path, "fails", {})).rejects.toMatchObject({ reason: "Something went wrong here." });
});
