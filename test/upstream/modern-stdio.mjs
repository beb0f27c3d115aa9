import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

serveStdio(() => {
  const server = new McpServer(
    { name: "desk", version: "3" },
    { capabilities: { tools: { listChanged: true } } },
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
  return server;
});
