/** 127.0.0.0/8, ::1 and localhost: what never leaves this machine. IPv6 with or without the brackets of a URL. */
export function isLoopback(hostname: string): boolean {
  return ["localhost", "::1", "[::1]"].includes(hostname) || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** https, or http that never leaves this machine: nobody on the way reads or answers it. */
export function isSecureUrl({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}
