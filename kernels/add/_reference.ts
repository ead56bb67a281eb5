/** Addition in f64: the specification of the kernel. */

/** a + b, number by number. */
export function addReference(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (v, i) => v + b[i]);
}
