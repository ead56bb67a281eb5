/** The soft prompt: new tokens whose embedding rows train. Letters: n prompt tokens, D hidden, V rows of the head that count. */
import { asMatrix, firstRows, type Matrix, stack } from "../kernels/linear/matrix.ts";
import { linearInputGradient } from "../kernels/linear/linear.ts";
import { Plan } from "../kernels/plan.ts";
import { gatherMatrixRows, gatherRows } from "../kernels/rows/rows.ts";
import type { Tensor } from "../kernels/tensor.ts";
import { promptToken, readSoftPromptFile, writeSoftPromptFile } from "./checkpoint/soft_prompt_file.ts";
import { MaspError } from "./errors.ts";
import type { Qwen2Vl } from "./load.ts";
import type { PromptLayout } from "./masp_sequence.ts";

/** Prompt tokens of a model; made by {@linkcode createSoftPrompt} or {@linkcode loadSoftPrompt}. */
export class SoftPrompt implements Disposable {
  /** Id of the first prompt token; the others follow. */
  readonly firstId: number;
  /** Rows of the head that count with these tokens (V, D): those of the vocabulary and of the prompt tokens. */
  readonly head: Matrix;
  /** Whether the prompt rows are rows of the head as well, since the head is tied to the embedding. */
  readonly inHead: boolean;
  readonly #model: Qwen2Vl;

  /**
   * A prompt of given rows.
   *
   * @param model the model; its tokenizer learns the tokens
   * @param parts the rows (n, D), which belong to the prompt from now on, and where they stand in a chat
   */
  constructor(model: Qwen2Vl, parts: { rows: Tensor; tokens: readonly string[]; layout: PromptLayout }) {
    this.#model = model;
    this.rows = parts.rows;
    this.tokens = parts.tokens;
    this.layout = parts.layout;
    [this.firstId] = promptIds(model, parts.tokens);
    const { head } = model.network.weights;
    this.inHead = model.network.config.text.tied;
    this.head = this.inHead
      ? stack(firstRows(head, Math.min(head.rows, this.firstId)), asMatrix(this.rows))
      : firstRows(head, Math.min(head.rows, this.firstId + parts.tokens.length));
  }

  /** (n, D) f32 */
  readonly rows: Tensor;
  /** Their texts. */
  readonly tokens: readonly string[];
  /** Where they stand in a chat. */
  readonly layout: PromptLayout;
  /** Views whose aspect tokens stood before them when they were tuned; none when tuned without; unknown before, and from the reference's files. */
  tunedWith?: readonly string[];

  /**
   * Writes the rows, and how they were tuned.
   *
   * @param path `.safetensors`, or `.pt` for the reference's form
   */
  async save(path: string): Promise<void> {
    const [count, hidden] = this.rows.shape;
    const { layout, tunedWith } = this;
    const tuning = tunedWith && { layout, views: [...tunedWith] };
    const rows = await this.#model.gpu.readFloats(this.rows);
    await writeSoftPromptFile(path, { rows, count, hidden, tokens: [...this.tokens], tuning });
  }

  /** Frees the rows. */
  [Symbol.dispose](): void {
    this.#model.gpu.destroy(this.rows);
  }
}

/** Options of {@linkcode createSoftPrompt} and {@linkcode loadSoftPrompt}. */
export interface SoftPromptOptions {
  /** Number of prompt tokens of a new prompt; 32 when left out. */
  count?: number;
  /** Where they stand in a chat: `code` (the default, unless a file says otherwise) as in the published program, `paper` as in the paper's figure. */
  layout?: PromptLayout;
}

/** A new prompt. Its rows begin as the embedding's own unused rows at the new ids, or as the mean row where it has no more rows. */
export function createSoftPrompt(model: Qwen2Vl, options: SoftPromptOptions = {}): SoftPrompt {
  const { count = 32, layout = "code" } = options;
  const tokens = Array.from({ length: count }, (_, i) => promptToken(i));
  const ids = promptIds(model, tokens);
  const { gpu, network: { weights: { embedding }, config: { text } } } = model;
  using making = new DisposableStack(); // frees the rows where it fails
  const rows = making.adopt(gpu.tensor([count, text.hidden], { label: "soft prompt" }), (rows) => gpu.destroy(rows));
  using plan = new Plan(gpu, "first rows of the soft prompt");
  if (ids[count - 1] >= embedding.rows) {
    const share = plan.persistent([1, Math.ceil(embedding.rows / 4) * 4], {
      data: new Float32Array(embedding.rows).fill(1 / embedding.rows),
    });
    const mean = linearInputGradient(plan, { dy: share, weight: embedding });
    gatherRows(plan, { source: mean, index: plan.persistent([count], { dtype: "u32" }), out: rows });
  }
  const index = plan.persistent([count], { dtype: "u32", data: Uint32Array.from(ids) });
  gatherMatrixRows(plan, { matrix: embedding, index, out: rows });
  plan.run();
  const prompt = new SoftPrompt(model, { rows, tokens, layout });
  making.move();
  return prompt;
}

/**
 * A trained prompt from a file (`.safetensors`, or the reference's `.pt`).
 *
 * @throws {MaspError} when the file is none, its vectors are not of the model's size, or it says that it was tuned in another layout
 */
export async function loadSoftPrompt(model: Qwen2Vl, path: string, options: Omit<SoftPromptOptions, "count"> = {}): Promise<SoftPrompt> {
  const { rows, count, hidden, tokens, tuning } = await readSoftPromptFile(path);
  const expected = model.network.config.text.hidden;
  if (hidden !== expected) {
    throw new MaspError(
      `Cannot use "${path}" with "${model.dir}": its vectors have ${hidden} numbers, the model's hidden size is ${expected}. Was it trained with another model?`,
    );
  }
  const tuned = tuning?.layout === "code" || tuning?.layout === "paper" ? tuning.layout : undefined;
  const { layout = tuned ?? "code" } = options;
  if (tuned && tuned !== layout) {
    throw new MaspError(`Cannot use "${path}" with the layout "${layout}": it was tuned with "${tuned}"; give --layout ${tuned}`);
  }
  using making = new DisposableStack(); // frees the rows where the tokens are none that a prompt may have
  const tensor = making.adopt(
    model.gpu.tensor([count, hidden], { data: rows, label: "soft prompt" }),
    (tensor) => model.gpu.destroy(tensor),
  );
  const prompt = new SoftPrompt(model, { rows: tensor, tokens, layout });
  prompt.tunedWith = tuning?.views;
  making.move();
  return prompt;
}

/**
 * Compares how a prompt is used with how it was tuned.
 *
 * @param prompt that is used
 * @param views whose aspect tokens stand before it; none without aspects
 * @returns a line about a difference that somebody may want: a prompt that was tuned with aspects, without or with others
 * @throws {MaspError} when it was tuned without aspect tokens, and there are some
 */
export function compareTuning(prompt: SoftPrompt, views: readonly string[]): string | undefined {
  const { tunedWith } = prompt;
  if (!tunedWith || tunedWith.join() === views.join()) return undefined;
  if (tunedWith.length === 0) {
    throw new MaspError(
      "The soft prompt was tuned without aspect tokens (stage2 --plain); give --plain here, too, or name another one with --soft-prompt-path",
    );
  }
  return `The soft prompt was tuned with the aspects ${tunedWith.join(", ")}; here there are ${views.join(", ") || "none"}.`;
}

function promptIds(model: Qwen2Vl, tokens: readonly string[]): number[] {
  const ids = model.tokenizer.addSpecialTokens([...tokens]);
  if (ids.some((id, i) => id !== ids[0] + i)) {
    throw new MaspError(`The prompt tokens ${tokens[0]} … ${tokens.at(-1)} have ids that do not follow each other: ${ids.join(", ")}.`);
  }
  return ids;
}
