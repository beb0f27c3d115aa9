import { startForwarder } from "./forwarder.ts";
import { startNaive } from "./naive.ts";
import { startUpstream } from "./upstream.ts";

// A contender's process: `node contender.js upstream | forwarder URL | naive URL`.
const [kind, upstream = ""] = process.argv.slice(2);
const started =
  kind === "upstream"
    ? startUpstream()
    : kind === "forwarder"
      ? startForwarder(upstream)
      : startNaive(upstream);
console.log(`url: ${(await started).url}`);
