/** Builtins that read a value out of a text, as OPA does. Values and results are JSON texts, so that no number is rounded. */

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const NUMBER = /^([+-]?)(?=\.?\d)(\d*)(?:\.(\d*))?([eE][+-]?\d+)?$/;
const RADIX: Readonly<Record<string, number>> = { 2: 2, 8: 8, 10: 10, 16: 16 };
/** Beyond it a number has too many digits to be written out. */
const MAX_EXPONENT = 1000;

export function isBase64(text: unknown): boolean {
  if (typeof text !== "string") return false;
  const one = withoutBreaks(text);
  return one.length % 4 === 0 && BASE64.test(one);
}

/** @throws RangeError */
export function base64Decoded(text: string): string {
  if (!isBase64(text)) throw new RangeError("not base64");
  return Buffer.from(withoutBreaks(text), "base64").toString("utf8");
}

/** Its padding may be left out. @throws RangeError */
export function base64UrlDecoded(text: string): string {
  if (/[+/]/.test(text)) throw new RangeError("not base64url");
  const padding = text.endsWith("=") ? "" : "=".repeat((4 - (text.length % 4)) % 4);
  return base64Decoded(`${text}${padding}`.replaceAll("-", "+").replaceAll("_", "/"));
}

function withoutBreaks(text: string): string {
  return text.replace(/[\r\n]/g, "");
}

/** Half a surrogate pair would end the module, which Go reads as the replacement character. @throws SyntaxError */
export function unmarshalled(text: string): string {
  JSON.parse(text);
  return text.replace(
    /\\\\|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[dD][89a-fA-F][\da-fA-F]{2}/g,
    (found) => (found.length === 6 ? "\\ufffd" : found),
  );
}

/** A value as JSON text -> a number as JSON text. @throws RangeError */
export function numberOf(json: string): string {
  const value: unknown = JSON.parse(json);
  if (value === null || typeof value === "boolean") return String(Number(value));
  if (typeof value === "number") return json;
  const [, sign, whole, fraction = "", exponent = ""] =
    (typeof value === "string" && NUMBER.exec(value)) || [];
  if (whole === undefined || !Number.isFinite(Number(value))) throw new RangeError("not a number");
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return `${sign === "-" ? "-" : ""}${digits}${fraction === "" ? "" : `.${fraction}`}${exponent}`;
}

/** A number, cut to a whole one, in a radix. @throws RangeError */
export function formattedInteger(number: string, radix: string): string {
  const base = RADIX[radix];
  if (base === undefined) throw new RangeError("a radix is expected");
  return integerOf(number).integer.toString(base);
}

/** A number's whole part, and whether that is all of it. @throws RangeError */
export function integerOf(number: string): { readonly integer: bigint; readonly exact: boolean } {
  const [, sign, whole = "", fraction = "", power = "e0"] = NUMBER.exec(number) ?? [];
  const exponent = Number(power.slice(1));
  if (sign === undefined || Math.abs(exponent) > MAX_EXPONENT) throw new RangeError("a number is expected");
  const point = Math.max(0, whole.length + exponent);
  const digits = `${whole}${fraction}`.padEnd(point, "0");
  const integer = BigInt(digits.slice(0, point) || "0");
  return { integer: sign === "-" ? -integer : integer, exact: /^0*$/.test(digits.slice(point)) };
}
