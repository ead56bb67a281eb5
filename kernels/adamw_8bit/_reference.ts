/** AdamW with block-wise 8-bit moments in f64: the specification of the kernel. */

/** Parameters and quantised moments. */
export interface AdamW8bitReferenceState {
  /** (size) */
  parameter: Float64Array;
  /** Codes of the first moment (size). */
  mCodes: Uint8Array;
  /** Codes of the second moment (size). */
  vCodes: Uint8Array;
  /** Scale of each block of 256 first moments. */
  mScale: Float64Array;
  /** Scale of each block of 256 second moments. */
  vScale: Float64Array;
}

/** Settings of {@linkcode adamW8bitReference}. */
export interface AdamW8bitReferenceOptions {
  /** Rate of this update. */
  learningRate: number;
  /** Decay rates of the moments. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. */
  eps: number;
  /** Decoupled weight decay. */
  weightDecay: number;
  /** Number of this update, from 1. */
  step: number;
  /** Factor of the gradient. */
  scale: number;
  /** Values of the codes, rising (256). */
  signedMap: ArrayLike<number>;
  /** Values of the codes, rising (256). */
  unsignedMap: ArrayLike<number>;
}

/** The code whose value is nearest to `x`; of two equally near, the lower. */
export function nearestCode(map: ArrayLike<number>, x: number): number {
  let best = 0;
  for (let code = 1; code < map.length; code++) {
    if (Math.abs(map[code] - x) < Math.abs(map[best] - x)) best = code;
  }
  return best;
}

/** One update in place; returns the new moments as they were before quantisation. */
export function adamW8bitReference(
  state: AdamW8bitReferenceState,
  gradient: ArrayLike<number>,
  options: AdamW8bitReferenceOptions,
): { m: Float64Array; v: Float64Array } {
  const { learningRate, betas: [b1, b2], eps, weightDecay, step, scale, signedMap, unsignedMap } = options;
  const { parameter, mCodes, vCodes, mScale, vScale } = state;
  const m = new Float64Array(parameter.length);
  const v = new Float64Array(parameter.length);
  for (let i = 0; i < parameter.length; i++) {
    const block = Math.floor(i / 256);
    const g = gradient[i] * scale;
    m[i] = b1 * signedMap[mCodes[i]] * mScale[block] + (1 - b1) * g;
    v[i] = b2 * unsignedMap[vCodes[i]] * vScale[block] + (1 - b2) * g * g;
    parameter[i] *= 1 - learningRate * weightDecay;
    parameter[i] -= learningRate * (m[i] / (1 - b1 ** step)) / (Math.sqrt(v[i] / (1 - b2 ** step)) + eps);
  }
  for (let block = 0; block < mScale.length; block++) {
    const range = [256 * block, 256 * block + 256] as const;
    mScale[block] = m.subarray(...range).reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    vScale[block] = v.subarray(...range).reduce((a, x) => Math.max(a, x), 0);
    for (let i = range[0]; i < Math.min(range[1], m.length); i++) {
      mCodes[i] = nearestCode(signedMap, mScale[block] > 0 ? m[i] / mScale[block] : 0);
      vCodes[i] = nearestCode(unsignedMap, vScale[block] > 0 ? v[i] / vScale[block] : 0);
    }
  }
  return { m, v };
}
