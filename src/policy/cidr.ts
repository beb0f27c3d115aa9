import { isIPv4, isIPv6 } from "node:net";

/** Address and mask, of 4 or of 16 bytes, as Go's `net.IPNet`. */
interface Network {
  readonly address: readonly number[];
  readonly ones: number;
}

/** ::ffff:0:0/96: an IPv4 address written as IPv6 reaches the same host, and is the same address here. */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];

/** Whether the first contains the second, a network or an address. @throws RangeError */
export function cidrContains(outer: string, inner: string): boolean {
  const network = parseNetwork(outer);
  const address = parseAddress(inner);
  if (address !== null) return holds(network, address);
  const other = parseNetwork(inner);
  if (isPlainIPv6(network) && isPlainIPv6(other))
    return network.ones <= other.ones && equal(masked(other.address, network.ones), network.address);
  return holds(network, other.address) && holds(network, lastOf(other));
}

/** @throws RangeError */
export function cidrIntersects(a: string, b: string): boolean {
  const [one, other] = [parseNetwork(a), parseNetwork(b)];
  return holds(one, other.address) || holds(other, one.address);
}

function holds({ address, ones }: Network, given: readonly number[]): boolean {
  const [base, candidate] = [short(address), short(given)];
  const bits = base.length === 4 && address.length === 16 ? Math.max(0, ones - 96) : ones;
  return base.length === candidate.length && equal(masked(candidate, bits), masked(base, bits));
}

function parseNetwork(text: string): Network {
  const at = text.indexOf("/");
  const address = at < 0 ? null : parseAddress(text.slice(0, at));
  const mask = text.slice(at + 1);
  if (address === null || !/^\d{1,4}$/.test(mask) || Number(mask) > address.length * 8)
    throw new RangeError("not a CIDR");
  return { address: masked(address, Number(mask)), ones: Number(mask) };
}

/** Its 4 or 16 bytes; null where it is none. A zone is not part of an address. */
function parseAddress(text: string): readonly number[] | null {
  if (isIPv4(text)) return text.split(".").map(Number);
  if (!isIPv6(text) || text.includes("%")) return null;
  const [head = "", tail] = text.split("::");
  const [before, after] = [bytesOf(head), bytesOf(tail ?? "")];
  return [...before, ...Array<number>(16 - before.length - after.length).fill(0), ...after];
}

function bytesOf(groups: string): number[] {
  if (groups === "") return [];
  return groups.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

function short(address: readonly number[]): readonly number[] {
  return address.length === 16 && equal(address.slice(0, 12), MAPPED) ? address.slice(12) : address;
}

function isPlainIPv6({ address }: Network): boolean {
  return short(address).length === 16;
}

function masked(address: readonly number[], ones: number): number[] {
  return address.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, ones - at * 8))));
}

function lastOf({ address, ones }: Network): readonly number[] {
  return address.map((byte, at) => byte | (0xff >> Math.min(8, Math.max(0, ones - at * 8))));
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
