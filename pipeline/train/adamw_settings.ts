/** Settings of AdamW; what is left out is as in Hugging Face's Trainer. */
export interface AdamWSettings {
  /** Decay rates of the moments. */
  betas?: readonly [number, number];
  /** Added to the root of the second moment. */
  eps?: number;
  /** Decoupled weight decay, except on biases. */
  weightDecay?: number;
  /** The gradient's norm is clipped to this; 0 turns clipping off. */
  maxNorm?: number;
  /** Keep the moments of large tensors in 8 bits, in blocks of 256. */
  eightBit?: boolean;
}

/** Hugging Face's values: betas (0.9, 0.999), eps 1e-8, weight decay 0.01, norm clipped to 1, moments in 32 bits. */
export const ADAMW_DEFAULTS: Required<AdamWSettings> = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, maxNorm: 1, eightBit: false };
