/** Prompts cut into passes that the adapter's buffers take. Letters: R prompts of a pass, T their rows, C rows of the caches. */
import type { Network } from "./network.ts";
import { cacheRowsOf, commonHead } from "./prompt_head.ts";
import type { Prompt } from "./prompt.ts";
import { roundRows } from "./sequence_layout.ts";

/** Bytes of the largest tensor of a pass over several prompts, where the adapter takes more. */
const MOST_BYTES = 2 ** 29;

/** Rows of the caches in relation to the most rows of a pass: where short prompts would wait beside a long one, they get a pass of their own. */
const MOST_PADDING = 1.25;

/** Options of {@linkcode promptPasses}. */
export interface PromptPassesOptions {
  /** Tokens that follow each prompt at most. */
  reserve: number;
  /** Rows of the head. */
  vocabulary: number;
}

/**
 * Prompts in passes of as many as follow each other and fit: no tensor of a pass is larger than a binding may be, and none but the logits than
 * half a GiB. A prompt that is too large alone is a pass of its own.
 */
export function promptPasses(network: Network, prompts: readonly Prompt[], options: PromptPassesOptions): Prompt[][] {
  const passes: Prompt[][] = [];
  for (const prompt of prompts) {
    const pass = passes.at(-1);
    if (pass && fits(network, [...pass, prompt], options)) pass.push(prompt);
    else passes.push([prompt]);
  }
  return passes;
}

function fits(network: Network, prompts: readonly Prompt[], { reserve, vocabulary }: PromptPassesOptions): boolean {
  const { gpu, config: { text } } = network;
  const most = Math.min(gpu.maxBindingBytes, MOST_BYTES);
  const lengths = prompts.map(({ ids }) => ids.length);
  const head = prompts.some(({ positions }) => positions) ? 0 : commonHead(prompts).length;
  const slots = head > 0; // each prompt then lies behind a head of its own in the caches, with room for what follows
  const rows = roundRows(lengths.reduce((sum, length) => sum + length + (slots ? -head : reserve), 0));
  const widest = 4 * Math.max(2 * text.intermediate, text.heads * text.headDim, text.hidden); // bytes of a row
  const behind = Math.max(...lengths) - head + reserve + 1;
  const cached = slots ? cacheRowsOf(network, { head, rows: behind, slots: prompts.length }) : rows;
  const keyValue = 8 * text.kvHeads * text.headDim;
  const logits = 4 * (vocabulary + 3) * prompts.length * reserve;
  return widest * rows <= most && cached <= MOST_PADDING * most / widest && keyValue * cached <= most && logits <= gpu.maxBindingBytes;
}
