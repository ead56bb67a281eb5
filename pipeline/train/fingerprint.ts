/** Short numbers that tell whether two runs learn from the same things. */
import { createHash } from "node:crypto";
import { basename } from "@std/path";
import type { Gpu } from "../../kernels/gpu.ts";
import type { AspectModules } from "../aspects/aspect_modules.ts";
import type { Qwen2Vl } from "../load.ts";

/** The first 16 hexadecimal digits of the SHA-256 of all parts, in order. */
export function fingerprint(parts: Iterable<Uint8Array | string>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

/** Fingerprint of samples: file names (without folders, so that a data set may be moved), views, questions and answers, in order. */
export function samplesFingerprint(samples: Iterable<{ image: string; view?: string; question: string; label: string }>): string {
  function* lines() {
    for (const { image, view, question, label } of samples) yield `${JSON.stringify([basename(image), view, question, label])}\n`;
  }
  return fingerprint(lines());
}

/** Tells aspect modules apart by their query vectors, which every training moves. */
export async function aspectsFingerprint(gpu: Gpu, aspects: AspectModules): Promise<string> {
  return fingerprint(await gpu.read(...aspects.views.map((view) => aspects.sections(aspects.parameters(view)).queries)));
}

/** Number types of the model's weights on the GPU: of the matrices and, where it is another, of the embedding. */
export function weightTypes({ network: { weights } }: Qwen2Vl): string {
  return [...new Set([weights.layers[0].output, weights.embedding].map(({ blocks }) => blocks[0].tensor.dtype))].join(", ");
}
