/** Tensors larger than one binding may be, in pieces, for kernels that take their numbers one by one. */
import type { Gpu } from "./gpu.ts";

/** Pieces begin at multiples of it: there, views of f32, of their 8-bit codes and of the scales of 256 of these may begin, too. */
const UNIT = 2 ** 14;

/** Some of a tensor's numbers. */
export interface FlatPiece {
  /** The first. */
  readonly start: number;
  /** How many. */
  readonly count: number;
}

/** Cuts `size` numbers of f32 into as few pieces as the adapter's binding limit allows; one where that is large enough. */
export function flatPieces({ maxBindingBytes }: Pick<Gpu, "maxBindingBytes">, size: number): FlatPiece[] {
  const most = Math.max(1, Math.floor(maxBindingBytes / (4 * UNIT))) * UNIT;
  const count = Math.ceil(size / most);
  return Array.from({ length: count }, (_, i) => ({ start: i * most, count: Math.min(most, size - i * most) }));
}
