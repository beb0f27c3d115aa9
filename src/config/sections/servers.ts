import { z } from "zod";
import { name, words } from "../values.ts";

/** Virtual servers: what agents see at `/mcp/<name>`. */
export const servers = z.record(
  name,
  z.strictObject({
    upstreams: z
      .array(name)
      .min(1)
      .readonly()
      .superRefine((names, context) => {
        for (const [index, one] of names.entries()) {
          if (names.indexOf(one) < index) {
            const message = `"${one}" stands twice: every tool name would collide`;
            context.addIssue({ code: "custom", path: [index], params: { code: "conflict" }, message });
          }
        }
      })
      .describe("One: tools keep their names. Several: upstream__tool."),
    title: z.string().min(1).max(256).optional(),
    instructions: z.string().min(1).max(8192).optional().describe("Told to agents."),
    scopes: words
      .refine(
        (scopes) => !scopes.includes("offline_access"),
        "offline_access is between a client and its issuer: no token shows it",
      )
      .default([])
      .describe("A token must have them all."),
  }),
);
