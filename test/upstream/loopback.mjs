// Preloaded into official servers: they listen on all interfaces, a test may listen on loopback only.
import net from "node:net";

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (port, ...rest) {
  this.once("listening", () => process.stderr.write(`port=${this.address().port}\n`));
  return listen.call(this, Number(port), "127.0.0.1", ...rest);
};
