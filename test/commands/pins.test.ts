import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createFilePins } from "../../src/catalog/pins.ts";
import { discover } from "../../src/commands/discover.ts";
import { startSupportDesk } from "../../src/demo/support-desk/support-desk.ts";
import { silentLog } from "../../src/lib/log.ts";
import { startEverything } from "./everything.ts";
import { COMPANY, exampleConfig } from "./world.ts";

const folder = mkdtempSync(join(tmpdir(), "portcullis-company-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** After an update of the sample servers: `npx vitest run test/commands/pins.test.ts -u`, and read the difference. */
test("the example's pin file says what its real servers announce", async () => {
  const [desk, everything] = await Promise.all([
    startSupportDesk({ port: 0, keys: { keys: [] }, audience: "https://desk.example" }),
    startEverything(),
  ]);
  const config = await exampleConfig({ desk: desk.url, everything: everything.url });
  const path = join(folder, "pins.json");
  const status = await discover({ config, env: {}, pins: createFilePins(path), log: silentLog });
  await Promise.all([desk.close(), everything.close()]);
  expect(status.upstreams.map(({ name, state, refused }) => ({ name, state, refused }))).toEqual(
    ["desk", "everything", "files", "memory"].map((name) => ({ name, state: "live", refused: [] })),
  );
  await expect(readFileSync(path, "utf8")).toMatchFileSnapshot(join(COMPANY, "pins.json"));
});
