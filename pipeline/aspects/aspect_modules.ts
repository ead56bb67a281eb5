/**
 * The aspect modules: query vectors and cross-attention of each view, on the GPU. Letters: n queries of a view, N visual tokens, D hidden.
 */
import { crossAttention, crossAttentionBackward, type CrossAttentionParameters } from "../../kernels/cross_attention/cross_attention.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { type AspectParameters, readAspectFile, writeAspectFile } from "../checkpoint/aspect_file.ts";
import { seededRandom } from "../data/random.ts";
import { MaspError } from "../errors.ts";

/** Numbers after which a section of a flat tensor begins: then its bytes may be bound, and no block of 8-bit moments spans two sections. */
const SECTION = 256;

/** A view's parameters (or their gradients) in two flat tensors: what weight decay shrinks, and the biases, which it does not. */
export interface FlatParameters {
  /** queries, wq, wk, wv, wo; each padded to a multiple of 256 numbers */
  readonly decayed: Tensor;
  /** bq, bv, bo; padded likewise */
  readonly biases: Tensor;
}

/** Sizes of the modules. */
export interface AspectSizes {
  /** Names of the views, in order. */
  views: readonly string[];
  /** n */
  tokens: number;
  /** D */
  hidden: number;
}

/** Options of {@linkcode AspectModules}. */
export interface AspectModulesOptions {
  /** Views that are wanted; all when left out. */
  views?: readonly string[];
  /** Keep one view's parameters at a time on the GPU and the others' in host memory; see {@linkcode AspectModules.bring}. */
  offload?: boolean;
}

/** Modules of all views; made by {@linkcode createAspectModules} or {@linkcode loadAspectModules}. */
export class AspectModules implements AspectSizes, Disposable {
  /** Names of the views, in order. */
  readonly views: readonly string[];
  /** n */
  readonly tokens: number;
  /** D */
  readonly hidden: number;
  readonly #gpu: Gpu;
  readonly #parameters = new Map<string, FlatParameters>();
  readonly #keyBias = new Map<string, Float32Array>();
  /** Whether one view's parameters at a time are on the GPU: those of the view that `bring` was called for last. */
  readonly offloaded: boolean;
  /** Numbers of the views that are not on the GPU, as in their tensors. */
  readonly #parked = new Map<string, ArrayBufferView[]>();

  /**
   * Puts modules on the GPU.
   *
   * @param parameters their values; or their sizes alone, for modules of zeros
   * @param options views that are wanted (all when left out); whether one view's at a time are on the GPU
   * @throws {MaspError} when a wanted view is not among the parameters
   */
  constructor(gpu: Gpu, parameters: AspectParameters | AspectSizes, options: AspectModulesOptions = {}) {
    this.#gpu = gpu;
    this.views = options.views ?? parameters.views;
    this.offloaded = options.offload ?? false;
    this.tokens = parameters.tokens;
    this.hidden = parameters.hidden;
    for (const view of this.views) {
      if (!("attention" in parameters)) {
        this.#keyBias.set(view, new Float32Array(this.hidden));
        this.#place(view);
        continue;
      }
      const attention = parameters.attention.get(view);
      const queries = parameters.queries.get(view);
      if (!attention || !queries) {
        throw new MaspError(
          `The aspect file has no view "${view}"; it has ${
            parameters.views.join(", ")
          }. Set VIEW_NAMES to some of these, or train it in stage 1.`,
        );
      }
      const D = this.hidden;
      const { inProjWeight: w, inProjBias: b, outProjWeight, outProjBias } = attention;
      const square = (i: number) => w.subarray(i * D * D, (i + 1) * D * D);
      this.#keyBias.set(view, b.slice(D, 2 * D));
      const decayed = flat(queries, square(0), square(1), square(2), outProjWeight);
      this.#place(view, [decayed, flat(b.subarray(0, D), b.subarray(2 * D), outProjBias)]);
    }
  }

  /** Rows from one view's tokens to the next one's, where several views' lie in a tensor: they begin at a multiple of 256 bytes, as bindings must. */
  get stride(): number {
    return Math.ceil(this.tokens / 8) * 8;
  }

  /** The tokens' rows at a place of such a tensor. */
  tokenRows(place: number): number[] {
    return Array.from({ length: this.tokens }, (_, i) => place * this.stride + i);
  }

  /** A view's flat parameters. */
  parameters(view: string): FlatParameters {
    const parameters = this.#parameters.get(view);
    if (!parameters) throw new MaspError(`There is no aspect module for the view "${view}"; there are ${this.views.join(", ")}.`);
    return parameters;
  }

  /**
   * Checks that all views' parameters are on the GPU, as a plan over several views needs them.
   *
   * @throws {MaspError} when they were made with `offload`
   */
  expectResident(): void {
    if (!this.offloaded) return;
    throw new MaspError(
      "Aspect modules made with offload hold one view at a time, for training; save them and load them again to use them.",
    );
  }

  /**
   * Puts a view's parameters on the GPU, where they are not, in the place of another's, whose come to host memory. Plans that use a view's
   * parameters must run between this and the next call.
   */
  async bring(view: string): Promise<void> {
    const parked = this.#parked.get(view);
    if (!parked) return;
    const { decayed, biases } = this.parameters(view);
    const resident = this.views.find((view) => !this.#parked.has(view))!;
    this.#parked.set(resident, await this.#gpu.read(decayed, biases));
    [decayed, biases].forEach((tensor, i) => this.#gpu.write(tensor, parked[i]));
    this.#parked.delete(view);
  }

  /** The named parts of flat parameters or gradients. */
  sections(flat: FlatParameters): CrossAttentionParameters {
    const { tokens, hidden: D } = this;
    const cut = (tensor: Tensor, shapes: number[][]) => {
      let at = 0;
      return shapes.map((shape) => {
        const section = tensor.view(shape, 4 * at);
        at += padded(section.size);
        return section;
      });
    };
    const [queries, wq, wk, wv, wo] = cut(flat.decayed, [[tokens, D], [D, D], [D, D], [D, D], [D, D]]);
    const [bq, bv, bo] = cut(flat.biases, [[D], [D], [D]]);
    return { queries, wq, wk, wv, wo, bq, bv, bo };
  }

  /** Records z (n, D) of a view; `attention` (n, N) takes the weights when they are wanted. */
  recordForward(plan: Plan, view: string, args: { features: Tensor; z: Tensor; attention?: Tensor }): void {
    const parameters = this.sections(this.parameters(view));
    crossAttention(plan, { parameters, features: args.features, out: args.z, attention: args.attention });
  }

  /** Records the gradients of a view, which are added; the forward pass is computed again, since it is a few rows only. */
  recordBackward(plan: Plan, view: string, args: { features: Tensor; dz: Tensor; gradients: FlatParameters }): void {
    const parameters = this.sections(this.parameters(view));
    const { trace } = crossAttention(plan, { parameters, features: args.features });
    crossAttentionBackward(plan, { parameters, gradients: this.sections(args.gradients), dz: args.dz, trace });
  }

  /** All parameters in host memory. */
  async read(): Promise<AspectParameters> {
    const { views, tokens, hidden } = this;
    const result: AspectParameters = { views: [...views], tokens, hidden, queries: new Map(), attention: new Map() };
    for (const view of views) {
      await this.bring(view);
      const s = this.sections(this.parameters(view));
      const parts = await this.#gpu.read(s.queries, s.wq, s.wk, s.wv, s.wo, s.bq, s.bv, s.bo);
      const [queries, wq, wk, wv, wo, bq, bv, bo] = parts.map((bytes) => new Float32Array(bytes.buffer));
      result.queries.set(view, queries);
      result.attention.set(view, {
        inProjWeight: joined(wq, wk, wv),
        inProjBias: joined(bq, this.#keyBias.get(view)!, bv),
        outProjWeight: wo,
        outProjBias: bo,
      });
    }
    return result;
  }

  /**
   * Writes the modules, whole or not at all.
   *
   * @param path `.safetensors`, or `.pth` for the reference's form
   */
  async save(path: string): Promise<void> {
    await writeAspectFile(path, await this.read());
  }

  /** Frees the parameters. */
  [Symbol.dispose](): void {
    for (const { decayed, biases } of this.#parameters.values()) this.#gpu.destroy(decayed, biases);
    this.#parameters.clear();
    this.#parked.clear();
  }

  /** Gives a view its tensors, or its place in host memory; zeros where there are no values. */
  #place(view: string, values?: [decayed: Float32Array, biases: Float32Array]): void {
    const { hidden, tokens, offloaded, views } = this;
    const sizes = [padded(tokens * hidden) + 4 * padded(hidden ** 2), 3 * padded(hidden)];
    const resident = offloaded ? this.#parameters.get(views[0]) : undefined;
    if (resident) {
      this.#parameters.set(view, resident);
      this.#parked.set(view, values ?? sizes.map((size) => new Float32Array(size)));
      return;
    }
    const tensor = (i: number, what: string) =>
      this.#gpu.tensor([sizes[i]], { data: values?.[i], label: offloaded ? `a view's ${what}` : `${view}: ${what}` });
    this.#parameters.set(view, { decayed: tensor(0, "queries and weights"), biases: tensor(1, "biases") });
  }
}

/**
 * New modules as PyTorch draws them: queries N(0, 1), in_proj Xavier-uniform, out_proj uniform ± 1/sqrt(D), biases 0.
 *
 * @param options sizes, seed, and whether one view's parameters at a time are on the GPU
 */
export function createAspectModules(gpu: Gpu, options: AspectSizes & { seed: number; offload?: boolean }): AspectModules {
  const { views, tokens, hidden: D, seed, offload } = options;
  const parameters: AspectParameters = { views: [...views], tokens, hidden: D, queries: new Map(), attention: new Map() };
  for (const view of views) {
    const random = seededRandom(seed, `aspect ${view}`);
    const uniform = (count: number, bound: number) => Float32Array.from({ length: count }, () => (2 * random.next() - 1) * bound);
    parameters.queries.set(view, Float32Array.from({ length: tokens * D }, () => random.normal()));
    parameters.attention.set(view, {
      inProjWeight: uniform(3 * D * D, Math.sqrt(6 / (D + 3 * D))),
      inProjBias: new Float32Array(3 * D),
      outProjWeight: uniform(D * D, 1 / Math.sqrt(D)),
      outProjBias: new Float32Array(D),
    });
  }
  return new AspectModules(gpu, parameters, { offload });
}

/**
 * Modules from a file (`.safetensors`, or the reference's `.pth`).
 *
 * @param options views that are wanted (all of the file's when left out), and the model's hidden size
 * @throws {MaspError} when the file is none, lacks a view, or was made for another hidden size
 */
export async function loadAspectModules(
  gpu: Gpu,
  path: string,
  options: { views?: readonly string[]; hidden: number },
): Promise<AspectModules> {
  const parameters = await readAspectFile(path);
  if (parameters.hidden !== options.hidden) {
    throw new MaspError(
      `Cannot use "${path}": its modules are for a hidden size of ${parameters.hidden}, the model's is ${options.hidden}. Was it trained with another model?`,
    );
  }
  return new AspectModules(gpu, parameters, options);
}

/** Numbers of all parts behind each other, each padded. */
function flat(...parts: Float32Array[]): Float32Array {
  const data = new Float32Array(parts.reduce((sum, part) => sum + padded(part.length), 0));
  parts.reduce((at, part) => (data.set(part, at), at + padded(part.length)), 0);
  return data;
}

function padded(count: number): number {
  return Math.ceil(count / SECTION) * SECTION;
}

function joined(...parts: Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}
