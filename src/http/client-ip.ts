/** The peer's address; `X-Forwarded-*` is anyone's to write, so nothing reads it. */
export function clientIpOf({ remoteAddress = "" }: { readonly remoteAddress?: string | undefined }): string {
  return remoteAddress.startsWith("::ffff:") ? remoteAddress.slice(7) : remoteAddress;
}
