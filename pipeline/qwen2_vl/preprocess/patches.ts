import type { Picture } from "./picture.ts";

/** Options of {@linkcode patchify}. */
export interface PatchifyOptions {
  /** Side of a patch, in pixels. */
  patchSize: number;
  /** Patches along a side of a merge block. */
  mergeSize: number;
  /** How often a picture stands in time. */
  temporalPatchSize: number;
  /** Normalised value of each byte per channel, (3, 256); {@linkcode normalizationTable} makes it. */
  table: Float32Array;
}

/**
 * What each byte becomes: `(byte * scale - mean) / std`, folded in float32 into `(byte - mean / scale) / (std / scale)` as the image processors of
 * `transformers` do, so that values agree to the last bit.
 *
 * @param mean Per channel.
 * @param std Per channel.
 * @param options `scale`: factor from bytes to 0…1, usually 1/255.
 * @returns (3, 256)
 */
export function normalizationTable(mean: number[], std: number[], options: { scale: number }): Float32Array {
  const table = new Float32Array(3 * 256);
  for (let channel = 0; channel < 3; channel++) {
    const center = Math.fround(Math.fround(mean[channel]) * Math.fround(1 / options.scale));
    const spread = Math.fround(Math.fround(std[channel]) * Math.fround(1 / options.scale));
    for (let byte = 0; byte < 256; byte++) table[channel * 256 + byte] = Math.fround(byte - center) / spread;
  }
  return table;
}

/**
 * Cuts a picture into Qwen2-VL's patches: in merge blocks (row of blocks, block, row in the block, column in the block), each patch flattened as
 * (channel, time, y, x).
 *
 * @param picture (height, width, 3), both sides multiples of patch size × merge size.
 * @param options See {@linkcode PatchifyOptions}.
 * @returns (P, 3 · temporalPatchSize · patchSize²), P = height/patchSize · width/patchSize.
 */
export function patchify(picture: Picture, options: PatchifyOptions): Float32Array {
  const { data, width, height } = picture;
  const { patchSize, mergeSize, temporalPatchSize, table } = options;
  const block = patchSize * mergeSize;
  const area = patchSize * patchSize;
  // Where a patch's pixels lie, in bytes from its first: (y, x).
  const offsets = Int32Array.from({ length: area }, (_, i) => (Math.trunc(i / patchSize) * width + i % patchSize) * 3);
  const channels = [0, 1, 2].map((channel) => table.subarray(channel * 256, (channel + 1) * 256));
  const out = new Float32Array(width * height * 3 * temporalPatchSize);
  let o = 0;
  for (let blockY = 0; blockY < height; blockY += block) {
    for (let blockX = 0; blockX < width; blockX += block) {
      for (let top = blockY; top < blockY + block; top += patchSize) {
        for (let left = blockX; left < blockX + block; left += patchSize) {
          for (let channel = 0; channel < 3; channel++) {
            const first = (top * width + left) * 3 + channel;
            const values = channels[channel];
            for (let time = 0; time < temporalPatchSize; time++, o += area) {
              for (let i = 0; i < area; i++) out[o + i] = values[data[first + offsets[i]]];
            }
          }
        }
      }
    }
  }
  return out;
}
