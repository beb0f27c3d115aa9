// Preloaded into the official sample server, which listens on all interfaces: on this machine's loopback only.
import { type AddressInfo, Server } from "node:net";

const { listen } = Server.prototype;
Server.prototype.listen = function (this: Server, port: unknown, ...rest: unknown[]) {
  this.once("listening", () => process.stderr.write(`port=${(this.address() as AddressInfo).port}\n`));
  return Reflect.apply(listen, this, [Number(port), "127.0.0.1", ...rest]);
} as typeof listen;
