import type { Picture, PictureSize } from "./picture.ts";

/** The resampling filters that Qwen2-VL's and MASP's preprocessing use. */
export type ResampleFilter = "bicubic" | "lanczos";

/** Fractional bits of the fixed-point coefficients: 32 less 8 of the pixel and 2 of headroom. */
const PRECISION_BITS = 22;

const FILTERS: Record<ResampleFilter, { support: number; weight: (x: number) => number }> = {
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: lanczos },
};

/**
 * Resizes a picture, bit for bit as Pillow 11 does (`Image.resize`; src/libImaging/Resample.c, 8 bits a channel): separable, the filter widened by the
 * scale when shrinking, coefficients in 22-bit fixed point, first the rows, then the columns, rounded to bytes after each.
 *
 * @param picture (height, width, 3)
 * @param size The new extent, at least 1×1.
 * @param options `filter`: bicubic (a = -0.5) or lanczos (3 lobes).
 * @returns A new picture, or the given one when the size is the same.
 */
export function resample(picture: Picture, size: PictureSize, options: { filter: ResampleFilter }): Picture {
  const { width, height } = size;
  let data = picture.data;
  if (width !== picture.width) data = resampleRows(data, picture.height, coefficients(picture.width, width, options.filter));
  if (height !== picture.height) data = resampleColumns(data, width * 3, coefficients(picture.height, height, options.filter));
  return data === picture.data ? picture : { data, width, height };
}

/** For each output position: the first input position, how many it takes, and their weights in fixed point. */
interface Coefficients {
  inputLength: number;
  outputLength: number;
  first: Int32Array; // (outputLength)
  count: Int32Array; // (outputLength)
  weights: Int32Array; // (outputLength, stride)
  stride: number;
}

function coefficients(inputLength: number, outputLength: number, filter: ResampleFilter): Coefficients {
  const { support: radius, weight } = FILTERS[filter];
  const scale = inputLength / outputLength;
  const filterScale = Math.max(scale, 1);
  const support = radius * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputLength);
  const count = new Int32Array(outputLength);
  const weights = new Int32Array(outputLength * stride);
  const exact = new Float64Array(stride);
  for (let position = 0; position < outputLength; position++) {
    const center = (position + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const length = Math.min(Math.trunc(center + support + 0.5), inputLength) - begin;
    let sum = 0;
    for (let k = 0; k < length; k++) sum += exact[k] = weight((k + begin - center + 0.5) * (1 / filterScale));
    for (let k = 0; k < length; k++) {
      const normalized = (sum === 0 ? exact[k] : exact[k] / sum) * (1 << PRECISION_BITS);
      weights[position * stride + k] = Math.trunc(normalized < 0 ? normalized - 0.5 : normalized + 0.5);
    }
    first[position] = begin;
    count[position] = length;
  }
  return { inputLength, outputLength, first, count, weights, stride };
}

/** (height, inputLength, 3) → (height, outputLength, 3) */
function resampleRows(data: Uint8Array, height: number, coefficients: Coefficients): Uint8Array {
  const { inputLength, outputLength, first, count, weights, stride } = coefficients;
  const out = new Uint8ClampedArray(height * outputLength * 3);
  let o = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outputLength; x++) {
      let red = 1 << (PRECISION_BITS - 1), green = red, blue = red;
      let i = (y * inputLength + first[x]) * 3;
      const end = x * stride + count[x];
      for (let k = x * stride; k < end; k++, i += 3) {
        const weight = weights[k];
        red = (red + Math.imul(data[i], weight)) | 0;
        green = (green + Math.imul(data[i + 1], weight)) | 0;
        blue = (blue + Math.imul(data[i + 2], weight)) | 0;
      }
      out[o++] = red >> PRECISION_BITS;
      out[o++] = green >> PRECISION_BITS;
      out[o++] = blue >> PRECISION_BITS;
    }
  }
  return new Uint8Array(out.buffer);
}

/** (inputLength, rowBytes) → (outputLength, rowBytes) */
function resampleColumns(data: Uint8Array, rowBytes: number, coefficients: Coefficients): Uint8Array {
  const { outputLength, first, count, weights, stride } = coefficients;
  const out = new Uint8ClampedArray(outputLength * rowBytes);
  const sums = new Int32Array(rowBytes);
  for (let y = 0; y < outputLength; y++) {
    sums.fill(1 << (PRECISION_BITS - 1));
    for (let k = 0; k < count[y]; k++) {
      const weight = weights[y * stride + k];
      const row = (first[y] + k) * rowBytes;
      for (let x = 0; x < rowBytes; x++) sums[x] += Math.imul(data[row + x], weight);
    }
    const row = y * rowBytes;
    for (let x = 0; x < rowBytes; x++) out[row + x] = sums[x] >> PRECISION_BITS;
  }
  return new Uint8Array(out.buffer);
}

/** Keys' cubic convolution with a = -0.5. */
function bicubic(x: number): number {
  const a = -0.5;
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}

/** sinc windowed by its own three times wider main lobe. */
function lanczos(x: number): number {
  return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
