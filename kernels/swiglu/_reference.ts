/** SwiGLU in f64: the specification of the kernels. */

/** silu(gate) · up. */
export function swigluReference(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from(gate, (g, i) => g / (1 + Math.exp(-g)) * up[i]);
}

/** Gradients of gate and up. */
export function swigluBackwardReference(
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  options: { dy: ArrayLike<number> },
): { dgate: Float64Array; dup: Float64Array } {
  const { dy } = options;
  const dgate = Float64Array.from(gate, (g, i) => {
    const s = 1 / (1 + Math.exp(-g));
    return dy[i] * up[i] * (s + g * s * (1 - s));
  });
  return { dgate, dup: Float64Array.from(gate, (g, i) => dy[i] * g / (1 + Math.exp(-g))) };
}
