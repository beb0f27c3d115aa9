import { expect, test } from "vitest";
import { createProtectedResource } from "../../src/identity/challenge.ts";
import { anIssuer, aStage, optionsOf } from "./world.ts";

test("the metadata of a virtual server names its exact URL and its authorization servers", async () => {
  const issuer = await anIssuer();
  const { stage } = aStage([optionsOf(issuer)]);
  expect(stage.metadata("support")).toEqual({
    resource: "https://gate.example/mcp/support",
    authorization_servers: [issuer.issuer],
    scopes_supported: ["mcp"],
    bearer_methods_supported: ["header"],
    resource_name: "support",
  });
  expect(stage.metadataUrl("support")).toBe(
    "https://gate.example/.well-known/oauth-protected-resource/mcp/support",
  );
});

test("a challenge cannot be broken out of", () => {
  const resource = createProtectedResource({
    audience: (server) => `https://gate.example/mcp/${server}`,
    issuers: [],
    scopes: () => [],
  });
  const challenge = resource.challenge("support", {
    error: "invalid_token",
    description: 'x", scope="admin"\r\nSet-Cookie: a',
  });
  expect(challenge).toBe(
    'Bearer error="invalid_token", error_description="x, scope=adminSet-Cookie: a", resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp/support"',
  );
});

test("a step-up names all the scopes that it needs", () => {
  const resource = createProtectedResource({
    audience: () => "https://gate.example/mcp/a",
    issuers: [],
    scopes: () => ["mcp"],
  });
  expect(
    resource.challenge("a", {
      error: "insufficient_scope",
      description: "more",
      scopes: ["mcp", "offline_access", "refund"],
    }),
  ).toContain('scope="mcp refund"');
});
