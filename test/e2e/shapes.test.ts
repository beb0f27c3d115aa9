import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { setUpGateway } from "../../src/bench/gateway.ts";
import { load } from "../../src/bench/load.ts";
import { startContender } from "../../src/bench/process.ts";

/** Those of a new connection, shared among its calls, and of code that is still being compiled. */
const MISSES_PER_CALL = 5;
/** Until V8 has seen what there is to see. */
const WARM = 8000;

test("a warm call makes no object of a new shape: V8 looks nothing up anew", async () => {
  const directory = await mkdtemp(join(tmpdir(), "portcullis-shapes-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const log = join(directory, "v8.log");
  const upstream = await startContender(["dist/bench/contender.js", "upstream"]);
  onTestFinished(upstream.stop);
  const { config, token, close } = await setUpGateway(upstream.url);
  onTestFinished(close);
  const flags = ["--log-ic", "--no-logfile-per-isolate", `--logfile=${log}`];
  const gateway = await startContender([...flags, "dist/main.js", "serve", "-c", config]);
  onTestFinished(gateway.stop);
  const calls = async (seconds: number) => {
    const headers = { authorization: `Bearer ${token}` };
    const { perSecond, failed } = await load(gateway, { connections: 8, seconds, headers });
    expect(failed).toBe(0);
    return perSecond * seconds;
  };
  const misses = async () => (await readFile(log, "latin1")).match(/^\w*IC,/gm)?.length ?? 0;

  for (let made = 0; made < WARM; ) made += await calls(2);
  const before = await misses();
  expect(before).toBeGreaterThan(1000);
  const made = await calls(2);
  expect(((await misses()) - before) / made).toBeLessThan(MISSES_PER_CALL);
});
