import { type ErrorOptions, PortcullisError } from "../lib/errors.ts";

export function invalid(reason: string): PortcullisError {
  return new PortcullisError("request_invalid", { reason, text: `The message is not accepted: ${reason}.` });
}

export function shapeless(reason: string, options: ErrorOptions = {}): PortcullisError {
  return new PortcullisError("params_invalid", { reason, text: `Invalid params: ${reason}.`, ...options });
}

export function mismatch(reason: string): PortcullisError {
  return new PortcullisError("header_mismatch", { reason, text: `Headers and body disagree: ${reason}.` });
}
