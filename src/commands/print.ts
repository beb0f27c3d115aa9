import { stripVTControlCharacters } from "node:util";
import pc from "picocolors";
import type { Surroundings } from "./command.ts";

export type Paint = Pick<ReturnType<typeof pc.createColors>, "bold" | "dim" | "green" | "red" | "yellow">;

/** Colours on a terminal, unless NO_COLOR is set (no-color.org). */
export function paintFor({ stdout, env }: Pick<Surroundings, "stdout" | "env">): Paint {
  return pc.createColors(stdout.isTTY === true && !env.NO_COLOR);
}

/** Rows with their columns aligned; trailing empty cells leave no space behind. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, lengthOf(cell));
  return rows
    .map((row) => {
      const cells = row.map((cell, at) => cell + " ".repeat((widths[at] ?? 0) - lengthOf(cell)));
      return `${indent}${cells.join("  ")}`.trimEnd();
    })
    .map((line) => `${line}\n`)
    .join("");
}

/** `1 layer`, `2 layers`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** What others named, for a terminal: what would steer it is shown as a replacement character. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, "\u{fffd}");
}

/** The same for text of several lines, which may be indented. */
export function printableLines(text: string): string {
  return text.replaceAll(/(?![\n\t])[\p{Cc}\p{Cf}]/gu, "\u{fffd}");
}

/** A time, given in milliseconds: `2026-11-22T19:58:16Z`. */
export function seconds(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function lengthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}
