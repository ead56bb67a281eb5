/** out[index[t]] = source[t] for rows of `width` numbers; indices behind the last row write nothing. */
export function scatterRowsReference(
  source: ArrayLike<number>,
  options: { index: ArrayLike<number>; out: ArrayLike<number>; width: number },
): Float64Array {
  const { index, width } = options;
  const out = Float64Array.from(options.out);
  for (let t = 0; t < index.length; t++) {
    if (index[t] * width >= out.length) continue;
    for (let i = 0; i < width; i++) out[index[t] * width + i] = source[t * width + i];
  }
  return out;
}
