import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

serveStdio(() => {
  const server = new McpServer(
    { name: "desk", version: "3" },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: process.env.NO_SUBSCRIBE ? {} : { subscribe: true },
        logging: {},
      },
    },
  );
  server.registerTool("steps", { inputSchema: z.object({}) }, async (_, { mcpReq }) => {
    const { progressToken } = mcpReq._meta;
    await mcpReq.notify({
      method: "notifications/progress",
      params: { progressToken, progress: 1, total: 2 },
    });
    return { content: [{ type: "text", text: "done" }] };
  });
  server.registerTool("grow", { inputSchema: z.object({}) }, () => {
    server.sendToolListChanged();
    return { content: [] };
  });
  server.registerTool("touch", { inputSchema: z.object({ uri: z.string() }) }, async ({ uri }) => {
    await server.server.sendResourceUpdated({ uri });
    return { content: [] };
  });
  server.registerTool("meta", { inputSchema: z.object({}) }, (_, { mcpReq }) => ({
    content: [{ type: "text", text: JSON.stringify(mcpReq.envelope) }],
  }));
  return server;
});
