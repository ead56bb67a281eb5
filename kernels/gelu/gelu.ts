/**
 * GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact and in the quick form of CLIP: what a product does with its sums before they are written.
 * Forward only: the vision tower is frozen.
 */
import erfGeluCode from "./erf_gelu.wgsl" with { type: "text" };
import quickGeluCode from "./quick_gelu.wgsl" with { type: "text" };

/** `gelu`: x · (1 + erf(x / √2)) / 2, with an absolute error below 1e-6. `quick_gelu`: x · sigmoid(1.702 x). */
export type Activation = "gelu" | "quick_gelu";

/** WGSL of `fn activation(x: f32) -> f32`. */
export const ACTIVATIONS: Readonly<Record<Activation, string>> = { gelu: erfGeluCode, quick_gelu: quickGeluCode };
