/** Prediction of a generated text: lower case, up to the first line break. */
export function predictionOf(text: string): string {
  return text.toLowerCase().split("\n")[0];
}
