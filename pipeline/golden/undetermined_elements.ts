/** Gradients of an aspect module by the reference's names, and the elements whose trained values rounding alone decides. */
import type { Gpu } from "../../kernels/gpu.ts";
import type { AspectModules, FlatParameters } from "../aspects/aspect_modules.ts";

/** Part of the root mean square of a tensor's gradient below which an element's gradient is mostly rounding noise. */
const NOISE = 1e-3;

/**
 * Elements of a module whose gradient came close to zero in some step. AdamW divides a gradient by its own size, so there the noise of
 * rounding, in PyTorch as here, becomes a good part of a whole step, and the trained value is not determined to more than that.
 */
export class UndeterminedElements {
  readonly #aspects: AspectModules;
  readonly #marked = new Map<string, Record<string, Set<number>>>();

  /** @param aspects the modules that train */
  constructor(aspects: AspectModules) {
    this.#aspects = aspects;
  }

  /** Marks elements by a step's gradients. */
  async note(view: string, gradients: FlatParameters, gpu: Gpu): Promise<void> {
    const marked = this.of(view);
    for (const [name, values] of Object.entries(await moduleGradients(this.#aspects, gradients, gpu))) {
      const rms = Math.sqrt(values.reduce((sum, g) => sum + g * g, 0) / values.length);
      values.forEach((g, i) => Math.abs(g) < NOISE * rms && (marked[name] ??= new Set()).add(i));
    }
  }

  /** Marked elements of a view by the names of its tensors. */
  of(view: string): Record<string, Set<number>> {
    const marked = this.#marked.get(view) ?? {};
    this.#marked.set(view, marked);
    return marked;
  }
}

/** Gradients by the names of the reference's tensors; that of the key bias is 0. */
export async function moduleGradients(aspects: AspectModules, gradients: FlatParameters, gpu: Gpu): Promise<Record<string, Float32Array>> {
  const g = aspects.sections(gradients);
  const parts = await gpu.read(g.queries, g.wq, g.wk, g.wv, g.bq, g.bv, g.wo, g.bo);
  const [queries, wq, wk, wv, bq, bv, wo, bo] = parts.map((bytes) => new Float32Array(bytes.buffer));
  const join = (...pieces: Float32Array[]) => Float32Array.from(pieces.flatMap((piece) => [...piece]));
  return {
    q_view: queries,
    in_proj_weight: join(wq, wk, wv),
    in_proj_bias: join(bq, new Float32Array(bq.length), bv),
    "out_proj.weight": wo,
    "out_proj.bias": bo,
  };
}
