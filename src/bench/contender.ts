import { startForwarder } from "./forwarder.ts";
import { startNaive } from "./naive.ts";
import { startRecorder } from "./recorder.ts";
import { startUpstream } from "./upstream.ts";

const STARTS: Readonly<Record<string, (upstream: string) => Promise<{ readonly url: string }>>> = {
  upstream: startUpstream,
  forwarder: startForwarder,
  recorder: startRecorder,
  naive: startNaive,
};

// A contender's process: `node contender.js upstream | forwarder URL | recorder URL | naive URL`.
const [kind = "", upstream = ""] = process.argv.slice(2);
const start = STARTS[kind];
if (start === undefined) throw new Error(`no contender "${kind}"`);
console.log(`url: ${(await start(upstream)).url}`);
