import { z } from "zod";
import { isLoopback, isSecureUrl } from "../../lib/loopback.ts";
import { httpUrl } from "../values.ts";

/** As browsers write it, whatever the case and the slash it was written with: it is compared with what they send. */
const origin = httpUrl
  .refine((url) => !URL.canParse(url) || isBare(new URL(url)), "write scheme, host and port only")
  .transform((url) => new URL(url).origin);

function isBare({ pathname, search }: URL): boolean {
  return pathname === "/" && search === "";
}

/** What a Host header may be: anything else would never be met. */
const hostHeader = z
  .string()
  .regex(
    /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$/,
    "write a host, or host:port, as in a Host header",
  );

/** Where the gateway listens and under which origin clients reach it. */
export const listen = z
  .strictObject({
    host: z.string().min(1).default("127.0.0.1"),
    port: z.int().min(0).max(65_535).default(8080).describe("0: any free port; public_url is needed then."),
    public_url: origin
      .optional()
      .describe("The origin that clients use; tokens are bound to it. https unless loopback."),
    allowed_origins: z.array(origin).readonly().prefault([]).describe("Browser origins that may call."),
    allowed_hosts: z
      .array(hostHeader)
      .readonly()
      .optional()
      .describe("Host headers that are served; the public URL's by default."),
  })
  .superRefine(({ host, port, public_url }, context) => {
    const report = (message: string) => context.addIssue({ code: "custom", path: ["public_url"], message });
    if (public_url === undefined) {
      if (!isLoopback(host)) report("public_url is needed when listening beyond loopback");
      else if (port === 0) report("public_url is needed where the port is any: tokens are bound to it");
      return;
    }
    if (!isSecureUrl(new URL(public_url))) {
      context.addIssue({
        code: "custom",
        path: ["public_url"],
        params: { code: "insecure" },
        message: "public_url must be https: bearer tokens travel over it",
      });
    }
  })
  .transform((given) => {
    const public_url =
      given.public_url ?? `http://${given.host.includes(":") ? `[${given.host}]` : given.host}:${given.port}`;
    return { ...given, public_url, allowed_hosts: given.allowed_hosts ?? [new URL(public_url).host] };
  });
