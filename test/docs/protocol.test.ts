import { expect, test } from "vitest";
import { type MethodRow, methodTable } from "../../src/protocol/methods.ts";
import { type ServerMethodRow, serverMethodTable } from "../../src/protocol/server-methods.ts";
import { readPage } from "./page.ts";

const page = readPage("protocol.md");

function eraOf({ eras }: Pick<MethodRow, "eras">): string {
  return eras.length === 2 ? "both" : String(eras[0]);
}

function clientRow(row: MethodRow & { readonly method: string }): readonly string[] {
  const { method, action, names, rewritten, recorded } = row;
  const named = names === undefined ? "" : `${names.kind}, by \`${names.member}\``;
  return [`\`${method}\``, eraOf(row), action, named, rewritten, recorded];
}

function serverRow(row: ServerMethodRow & { readonly method: string }): readonly string[] {
  const { method, question, audience, rewritten } = row;
  return [
    `\`${method}\``,
    eraOf(row),
    question === undefined ? audience : `${audience}, if \`${question}\` is granted`,
    rewritten,
  ];
}

test("the page's table of what clients send is the gateway's own", () => {
  expect(page.table("Method", "Era", "Action", "Names", "Rewritten", "Recorded")).toEqual(
    methodTable().map(clientRow),
  );
});

test("the page's table of what servers send is the gateway's own", () => {
  expect(page.table("Method", "Era", "Goes to", "Rewritten")).toEqual(serverMethodTable().map(serverRow));
});
