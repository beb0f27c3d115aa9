import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "../../src/lib/log.ts";
import { createPreparerThread, type PreparerThread } from "../../src/policy/preparer-thread.ts";
import { createPolicyStore } from "../../src/policy/store.ts";
import { context, TENANT_SCHEMA, target } from "./world.ts";

let root: string;
let thread: PreparerThread;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "preparer-thread-"));
  thread = createPreparerThread({ directory: join(root, "bundles"), capacity: 4 }, silentLog);
});
afterEach(async () => {
  await thread.close();
  await rm(root, { recursive: true });
});

async function layer(name: string, data: string): Promise<void> {
  await mkdir(join(root, name));
  await writeFile(
    join(root, name, "authz.rego"),
    'package authz\n\ngrant contains {"reason": data.why} if input.target.kind == "tool"\n',
  );
  await writeFile(join(root, name, "data.json"), data);
}

/** The longest that this thread was kept from anything else meanwhile, milliseconds. */
async function stall(work: Promise<unknown>): Promise<number> {
  let [worst, last] = [0, performance.now()];
  const tick = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
  };
  const ticking = setInterval(tick, 2);
  await work;
  tick();
  clearInterval(ticking);
  return worst;
}

const storeOf = (acme: string) =>
  createPolicyStore({
    prepare: thread.prepare,
    platform: join(root, "platform"),
    tenants: new Map([
      ["acme", join(root, acme)],
      ["globex", null],
    ]),
    tenantSchema: TENANT_SCHEMA,
    log: silentLog,
    clock: Date.now,
  });

test("large data of one tenant is prepared beside the thread that serves them all", async () => {
  const keys = Array.from({ length: 150_000 }, (_, at) => `"key-${at}":${at}`).join(",");
  await layer("platform", '{"why": "platform"}');
  await layer("acme", `{"why": "acme", "much": {${keys}}}`);
  const store = storeOf("acme");
  // Here it is some 30 ms, most of it one copy of the loaded memory; prepared in this thread it is over a second.
  expect(await stall(store.load())).toBeLessThan(500);
  const [capability] = store.current("acme").capabilities(context(), [target()]);
  expect(capability?.grants.map(({ reason }) => reason)).toEqual(["platform", "acme"]);
  store.close();
});

test("data that does not fit is its tenant's failure alone, and the next folder is prepared", async () => {
  await layer("platform", '{"why": "platform"}');
  await layer("acme", `{"why": "acme", "much": [${"{},".repeat(1_500_000)}{}]}`);
  const store = storeOf("acme");
  await store.load();
  expect(store.status().tenants.acme).toMatchObject({ revision: null, lastError: { problems: [{}] } });
  expect(store.current("globex").capabilities(context(), [target()])[0]?.grants).toHaveLength(1);
  await writeFile(join(root, "acme/data.json"), '{"why": "acme"}');
  expect((await store.reload()).tenants.acme).toMatchObject({ lastError: null });
  store.close();
});

test("the folder that comes after close is refused, not waited for", async () => {
  await layer("platform", '{"why": "platform"}');
  const { prepare, close } = thread;
  await close();
  await expect(
    prepare({
      directory: join(root, "platform"),
      layer: "platform",
      tenantSchema: {},
      limits: { steps: 1, memory: 1 },
      content: "",
    }),
  ).rejects.toThrow("closed");
});
