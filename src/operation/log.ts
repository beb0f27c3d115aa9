import { type DestinationStream, type Logger, pino } from "pino";
import type { Log } from "../lib/log.ts";

/** Names under which a credential could reach a log line by accident. `Secret` redacts itself. */
const REDACTED = [
  "authorization",
  "cookie",
  "token",
  "access_token",
  "refresh_token",
  "client_secret",
  "password",
];

/** The operational log: one JSON line an event, on stderr, since stdout belongs to a command's own output. */
export function createLog(level: string, destination?: DestinationStream): Log {
  const paths = REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const logger: Logger = pino(
    { level, redact: { paths, censor: "[secret]" }, base: null },
    destination ?? pino.destination(2),
  );
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
