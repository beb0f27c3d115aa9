import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type SupportDesk, startSupportDesk } from "../../src/demo/support-desk/support-desk.ts";

const AUDIENCE = "https://desk.example";
const { privateKey, publicKey } = await generateKeyPair("ES256");
let desk: SupportDesk;

beforeAll(async () => {
  const keys = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] };
  desk = await startSupportDesk({ port: 0, keys, audience: AUDIENCE, stepMs: 10 });
});
afterAll(() => desk.close());

interface Claims {
  readonly tenant?: string;
  readonly role?: string;
  readonly audience?: string;
  readonly expires?: number;
  readonly key?: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
}

async function assertion({
  tenant = "acme",
  role = "reader",
  audience = AUDIENCE,
  expires = 60,
  key = privateKey,
}: Claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT({ tenant, role })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setSubject("ann");
  return token
    .setAudience(audience)
    .setExpirationTime(now + expires)
    .sign(key);
}

const clients: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(clients.map((client) => client.close())));

async function modern(token?: string): Promise<ModernClient> {
  const client = new ModernClient(
    { name: "test", version: "1" },
    { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  await client.connect(new ModernTransport(new URL(desk.url), { requestInit: { headers: bearer(token) } }));
  clients.push(client);
  return client;
}

async function legacy(token?: string): Promise<LegacyClient> {
  const client = new LegacyClient({ name: "test", version: "1" });
  // The SDK's own Transport type is not written for exactOptionalPropertyTypes.
  const transport = new LegacyTransport(new URL(desk.url), { requestInit: { headers: bearer(token) } });
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  clients.push(client);
  return client;
}

function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

const TOOLS = [
  "list_tickets",
  "search_tickets",
  "get_ticket",
  "reply_ticket",
  "close_ticket",
  "refund",
  "export_tickets",
];

test.each([
  ["modern", modern],
  ["legacy", legacy],
])("a %s client is shown every tool, described, without an assertion", async (_, connect) => {
  const { tools } = await (await connect()).listTools();
  expect(tools.map(({ name }) => name)).toEqual(TOOLS);
  for (const tool of tools) {
    expect(tool.description?.length, tool.name).toBeGreaterThan(30);
    expect(tool.outputSchema, tool.name).toBeDefined();
    expect(tool.annotations?.readOnlyHint, tool.name).toBeTypeOf("boolean");
  }
});

test.each([
  ["modern", modern],
  ["legacy", legacy],
])("a %s client reads its own tenant's tickets with a valid assertion", async (_, connect) => {
  const client = await connect(await assertion());
  const { structuredContent } = await client.callTool({
    name: "list_tickets",
    arguments: { status: "open" },
  });
  expect(structuredContent).toMatchObject({
    tickets: [{ id: "ACME-1" }, { id: "ACME-2" }, { id: "ACME-3" }],
  });
});

test.each([
  ["modern", modern],
  ["legacy", legacy],
])("a %s client's call without an assertion is refused", async (_, connect) => {
  const client = await connect();
  await expect(client.callTool({ name: "list_tickets", arguments: {} })).rejects.toThrow();
});

test("an assertion that is expired, for someone else, or of another key is refused with 401", async () => {
  const stranger = await generateKeyPair("ES256");
  const none = `${btoa('{"alg":"none"}')}.${btoa('{"sub":"ann","aud":"https://desk.example","exp":9999999999}')}.`;
  const bad = [
    await assertion({ expires: -10 }),
    await assertion({ audience: "https://crm.example" }),
    await assertion({ key: stranger.privateKey }),
    none.replaceAll("=", ""),
    "x",
  ];
  for (const token of bad) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: {} });
    const headers = {
      ...bearer(token),
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    };
    expect((await fetch(desk.url, { method: "POST", headers, body })).status, token).toBe(401);
  }
});

test("a tenant cannot see another tenant's tickets", async () => {
  const globex = await modern(await assertion({ tenant: "globex", role: "refunder" }));
  const refused = { isError: true, content: [{ type: "text", text: "There is no ticket ACME-1." }] };
  const refund = { ticket: "ACME-1", amount: 1, currency: "EUR", iban: "DE02120300000000202051" };
  expect(await globex.callTool({ name: "get_ticket", arguments: { ticket: "ACME-1" } })).toMatchObject(
    refused,
  );
  expect(
    await globex.callTool({ name: "reply_ticket", arguments: { ticket: "ACME-1", text: "x" } }),
  ).toMatchObject(refused);
  expect(await globex.callTool({ name: "close_ticket", arguments: { ticket: "ACME-1" } })).toMatchObject(
    refused,
  );
  expect(await globex.callTool({ name: "refund", arguments: refund })).toMatchObject(refused);
  const found = await globex.callTool({ name: "search_tickets", arguments: { query: "anvil" } });
  expect(found.structuredContent).toEqual({ tickets: [] });
  const unknown = await modern(await assertion({ tenant: "initech" }));
  expect((await unknown.callTool({ name: "list_tickets", arguments: {} })).structuredContent).toEqual({
    tickets: [],
  });
});

test("the role in the assertion bounds what a call may do", async () => {
  const reader = await modern(await assertion({ role: "reader" }));
  const refund = { ticket: "ACME-1", amount: 12.5, currency: "EUR", iban: "DE02120300000000202051" };
  expect(await reader.callTool({ name: "refund", arguments: refund })).toMatchObject({ isError: true });
  const agent = await modern(await assertion({ role: "agent" }));
  expect(await agent.callTool({ name: "refund", arguments: refund })).toMatchObject({ isError: true });
  const replied = await agent.callTool({
    name: "reply_ticket",
    arguments: { ticket: "ACME-1", text: "We are sorry." },
  });
  expect(replied.structuredContent).toMatchObject({
    messages: [{ from: "Ines Duarte" }, { from: "ann", text: "We are sorry." }],
  });
  const refunder = await modern(await assertion({ role: "refunder" }));
  const refunded = await refunder.callTool({ name: "refund", arguments: refund });
  expect(refunded.structuredContent).toMatchObject({ id: "R-1", amount: 12.5, ticket: "ACME-1" });
});

test.each([
  ["modern", modern],
  ["legacy", legacy],
])("an export reports progress to a %s client", async (_, connect) => {
  const client = await connect(await assertion());
  const steps: number[] = [];
  const onprogress = ({ progress }: { progress: number }): void => void steps.push(progress);
  const call = { name: "export_tickets", arguments: { format: "csv" } };
  const result =
    client instanceof ModernClient
      ? await client.callTool(call, { onprogress })
      : await client.callTool(call, undefined, { onprogress });
  expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(result.structuredContent).toMatchObject({ count: 4 });
});

test("a cancelled export is answered at once, and does not keep the desk from closing", async () => {
  const slow = await startSupportDesk({
    port: 0,
    keys: { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] },
    audience: AUDIENCE,
    stepMs: 60_000,
  });
  const client = new ModernClient(
    { name: "test", version: "1" },
    { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  const transport = new ModernTransport(new URL(slow.url), {
    requestInit: { headers: bearer(await assertion()) },
  });
  await client.connect(transport);
  const cancel = new AbortController();
  const call = client.callTool({ name: "export_tickets", arguments: {} }, { signal: cancel.signal });
  cancel.abort();
  await expect(call).rejects.toThrow();
  await client.close();
  await slow.close();
});

test("a page in a browser cannot reach it by another name", async () => {
  const response = await fetch(desk.url, { method: "POST", headers: { origin: "https://evil.example" } });
  expect(response.status).toBe(403);
});
