/** Control characters and lone surrogates: what readers further on could understand differently. */
const UNFIT = /[\p{Cc}\p{Cs}]/u;

/** One line of at most so many characters, which every log, terminal and store shows as it is. */
export function isPlainText(text: string, max: number): boolean {
  return text.length <= max && !UNFIT.test(text);
}
