import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { benchCredentials } from "./credentials.ts";
import { setUpGateway } from "./gateway.ts";
import { load, type Round } from "./load.ts";
import { micro } from "./micro.ts";
import { type Contender, startContender } from "./process.ts";

const CONNECTIONS = [1, 16, 64];
const ROUNDS = 5;
const SECONDS = 2;

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const contender = (
  ...args: string[] // The SDK that the naive bridge is made of warns with each call beyond 1,500 at once on one connection.
) => startContender(["--no-warnings", script("./contender.js"), ...args]);

console.log(
  `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown"}; load generator, contender and upstream share it.\n`,
);
const upstream = await contender("upstream");
const setup = await setUpGateway(upstream.url);
const authorization = `Bearer ${setup.token}`;
const field: readonly { name: string; contender: Contender; headers: Record<string, string> }[] = [
  { name: "direct", contender: upstream, headers: {} },
  { name: "forwarder", contender: await contender("forwarder", upstream.url), headers: {} },
  { name: "recorder", contender: await contender("recorder", upstream.url), headers: {} },
  { name: "naive bridge", contender: await contender("naive", upstream.url), headers: {} },
  {
    name: "portcullis",
    contender: await startContender([script("../main.js"), "serve", "-c", setup.config]),
    headers: { authorization },
  },
];

// Until what is measured is compiled: a gateway has more code than a forwarder.
for (const one of field) await load(one.contender, { connections: 16, seconds: 20, headers: one.headers });

console.log(
  "tools/call                  calls/s   of direct  of forwarder   p50 ms   p99 ms  CPU ms/call   RSS MB  failed",
);
for (const connections of CONNECTIONS) {
  const rounds = new Map<string, Round[]>(field.map(({ name }) => [name, []]));
  // Interleaved, so that a slow moment of the machine meets every contender.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { name, contender: process, headers } of field) {
      rounds.get(name)?.push(await load(process, { connections, seconds: SECONDS, headers }));
    }
  }
  const direct = rounds.get("direct") ?? [];
  const forwarder = rounds.get("forwarder") ?? [];
  for (const { name, contender: process } of field) {
    const own = rounds.get(name) ?? [];
    const cells = [
      median(own.map(({ perSecond }) => perSecond))
        .toFixed(0)
        .padStart(9),
      ratio(own, direct).toFixed(2).padStart(11),
      ratio(own, forwarder).toFixed(2).padStart(13),
      median(own.map(({ p50 }) => p50))
        .toFixed(2)
        .padStart(8),
      median(own.map(({ p99 }) => p99))
        .toFixed(2)
        .padStart(8),
      median(own.map(({ cpuMsPerCall }) => cpuMsPerCall))
        .toFixed(3)
        .padStart(12),
      process.usage().rssMb.toFixed(0).padStart(8),
      String(own.reduce((sum, { failed }) => sum + failed, 0)).padStart(7),
    ];
    console.log(`${`${name}, c=${connections}`.padEnd(24)}${cells.join(" ")}`);
  }
}
for (const { contender: process } of [...field].reverse()) await process.stop();
await setup.close();

console.log("\nin one process              p50         p99");
const inProcess = (name: string, p50: number, p99: number) =>
  console.log(`${name.padEnd(24)}${time(p50)}   ${time(p99)}`);
await micro(inProcess);

console.log("\ncredentials, OpenBao          p50         p99");
await benchCredentials(inProcess);

/** The median of the ratios round by round: both sides of each were measured within seconds. */
function ratio(own: readonly Round[], other: readonly Round[]): number {
  return median(own.map(({ perSecond }, index) => perSecond / (other[index]?.perSecond ?? Number.NaN)));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function time(microseconds: number): string {
  return microseconds < 1000
    ? `${microseconds.toFixed(1)} µs`.padStart(9)
    : `${(microseconds / 1000).toFixed(2)} ms`.padStart(9);
}
