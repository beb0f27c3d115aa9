import { spend } from "./steps.ts";

/** Up to 640 digits are divided. */
const STEPS_PER_DIVISION = 100;

/** A double as the shortest decimal that reads back as it: `coefficient × 10^exponent`. */
interface Decimal {
  readonly coefficient: bigint;
  readonly exponent: number;
}

function decimal(value: number): Decimal {
  const [digits = "0", power = "0"] = value.toExponential().split("e");
  const point = digits.indexOf(".");
  const fraction = point < 0 ? 0 : digits.length - point - 1;
  return { coefficient: BigInt(digits.replace(".", "")), exponent: Number(power) - fraction };
}

/**
 * Whether `value` is an integer multiple of `divisor`, decimal-exact: 0.3 is a multiple of 0.1. Both are finite;
 * `divisor` is positive. A double has at most 17 digits and 632 powers of ten, so the cost is bounded.
 * Order (`minimum`, `maximum`) needs none of this: doubles sort as their shortest decimals do.
 */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0;
  spend(STEPS_PER_DIVISION);
  const a = decimal(value);
  const b = decimal(divisor);
  const exponent = Math.min(a.exponent, b.exponent);
  return (
    (a.coefficient * 10n ** BigInt(a.exponent - exponent)) %
      (b.coefficient * 10n ** BigInt(b.exponent - exponent)) ===
    0n
  );
}
