import { expect, test } from "vitest";
import { labelsFrom } from "../../src/compose/labels.ts";
import { parseConfig } from "../../src/config/config.ts";

const config = (upstream: string) => `
authorization_server: {users: {ann: {tenant: acme}}}
upstreams:
  crm: {url: "http://127.0.0.1:9/mcp", labels: [all], ${upstream}}
servers: {support: {upstreams: [crm]}}
policies: {path: ./policies}
tenants: {acme: {record: {}, servers: [support]}}
`;

test("each kind has its own labels, a resource by its URI however that is written", () => {
  const parsed = parseConfig(
    config(`
    targets: {x: {labels: [tool]}}, prompts: {x: {labels: [prompt]}},
    resources: {"FILE:///%61": {labels: [resource]}}, templates: {"x://{id}": {labels: [template]}}`),
    "/portcullis.yaml",
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const labels = labelsFrom(parsed.config);
  expect(labels("crm", "tool", "x")).toEqual(["all", "tool"]);
  expect(labels("crm", "prompt", "x")).toEqual(["all", "prompt"]);
  expect(labels("crm", "resource", "file:///a")).toEqual(["all", "resource"]);
  expect(labels("crm", "template", "x://{id}")).toEqual(["all", "template"]);
  expect(labels("crm", "resource", "x")).toEqual(["all"]);
  expect(labels("crm", "server", "")).toEqual(["all"]);
  expect(labels("constructor", "tool", "constructor")).toEqual([]);
});

test.each([
  ['resources: {"notes/1": {labels: [a]}}', "absolute URI"],
  ['templates: {"x://{a}{b}": {labels: [a]}}', "URI template"],
])("%s would label nothing, and is refused", (given, message) => {
  const parsed = parseConfig(config(given), "/portcullis.yaml");
  expect(parsed).toMatchObject({ ok: false, problems: [{ message: expect.stringContaining(message) }] });
});
