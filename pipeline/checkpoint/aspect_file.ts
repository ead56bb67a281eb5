/** Aspect modules on disk: the reference's `aspect.pth`, and the same tensors as safetensors. T tokens per view, D hidden size. */
import { extname } from "@std/path";
import { MaspError } from "../errors.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";
import { asFloat32, sameShape, showShape, type TensorData } from "./tensor_data.ts";
import { readTorchFile, writeTorchFile } from "./torch_file.ts";
import { describeTorchValue, isTensor, type TorchValue } from "./torch_value.ts";

/** The cross-attention of one view, with the parameters of PyTorch's MultiheadAttention of one head. */
export interface AspectAttention {
  /** (3D, D): query, key and value projections below each other. */
  inProjWeight: Float32Array;
  /** (3D) */
  inProjBias: Float32Array;
  /** (D, D) */
  outProjWeight: Float32Array;
  /** (D) */
  outProjBias: Float32Array;
}

/** The aspect modules of all views. */
export interface AspectParameters {
  /** Names of the views, in the order of the file. */
  views: string[];
  /** Query vectors by view, (T, D). */
  queries: Map<string, Float32Array>;
  /** Cross-attention by view. */
  attention: Map<string, AspectAttention>;
  /** T, the number of query vectors per view. */
  tokens: number;
  /** D, the hidden size. */
  hidden: number;
}

/** Parameters of a view's attention: its key in {@linkcode AspectAttention}, its name in a file, its shape in units of D. */
const PARAMETERS = [
  ["inProjWeight", "in_proj_weight", [3, 1]],
  ["inProjBias", "in_proj_bias", [3]],
  ["outProjWeight", "out_proj.weight", [1, 1]],
  ["outProjBias", "out_proj.bias", [1]],
] as const;

/** Tensors by the names of the safetensors form: `q_view.VIEW`, `cross_attn.VIEW.in_proj_weight`, …; the views in their order. */
interface NamedTensors {
  views: string[];
  tensors: Map<string, TensorData>;
}

/**
 * Reads aspect modules.
 *
 * @param path `.pth` or `.pt` (as the reference's stage 1 saves them) or `.safetensors`.
 * @throws {MaspError} When the file cannot be read, is of another kind, or its tensors do not fit each other.
 */
export async function readAspectFile(path: string): Promise<AspectParameters> {
  const { views, tensors } = isSafetensors(path) ? readNamed(path) : await readReference(path);
  const fault = (what: string) => new MaspError(`Cannot load "${path}": ${what}; use the aspect file that stage 1 writes`);
  if (views.length === 0) throw fault("it holds no view (q_view.VIEW), expected at least one");
  const first = tensors.get(`q_view.${views[0]}`);
  if (first?.shape.length !== 2) throw fault(`q_view.${views[0]} is ${describeTorchValue(first)}, expected a tensor (tokens, hidden size)`);
  const [tokens, hidden] = first.shape;

  const faults: string[] = [];
  const take = (name: string, shape: number[]): Float32Array => {
    const tensor = tensors.get(name);
    tensors.delete(name);
    if (!tensor) faults.push(`${name} is missing, expected ${showShape(shape)}`);
    else if (!sameShape(tensor.shape, shape)) faults.push(`${name} has shape ${showShape(tensor.shape)}, expected ${showShape(shape)}`);
    else if (!/^(F|BF)(16|32|64)$/.test(tensor.dtype)) faults.push(`${name} has elements of type ${tensor.dtype}, expected floats`);
    else return asFloat32(tensor);
    return new Float32Array();
  };
  const queries = new Map(views.map((view) => [view, take(`q_view.${view}`, [tokens, hidden])]));
  const attention = new Map(views.map((view) => {
    const entries = PARAMETERS.map(([key, name, factors]) => [key, take(`cross_attn.${view}.${name}`, factors.map((f) => f * hidden))]);
    return [view, Object.fromEntries(entries) as AspectAttention];
  }));
  for (const name of tensors.keys()) faults.push(`${name} is not expected`);
  if (faults.length > 0) throw fault(faults.join("; "));
  return { views, queries, attention, tokens, hidden };
}

/**
 * Writes aspect modules, whole or not at all.
 *
 * @param path `.pth` or `.pt` for the reference's form, which its stage 2 loads, or `.safetensors`.
 * @param aspects The modules of all views.
 * @throws {MaspError} When the extension is another one, a parameter's length does not fit its shape, or the file cannot be written.
 */
export async function writeAspectFile(path: string, aspects: AspectParameters): Promise<void> {
  const { views, tokens, hidden } = aspects;
  const f32 = (data: Float32Array, shape: number[]): TensorData => ({ dtype: "F32", shape, data });
  const queries = new Map(views.map((view) => [view, f32(aspects.queries.get(view)!, [tokens, hidden])]));
  const attention = new Map(views.map((view) => {
    const module = aspects.attention.get(view)!;
    return [view, new Map(PARAMETERS.map(([key, name, factors]) => [name, f32(module[key], factors.map((f) => f * hidden))]))];
  }));
  if (!isSafetensors(path)) {
    const value = new Map<string, TorchValue>([["q_view", queries], ["cross_attn", attention as Map<string, TorchValue>], ["fuser", null]]);
    return await writeTorchFile(path, value);
  }
  const tensors: Record<string, TensorData> = {};
  for (const view of views) {
    tensors[`q_view.${view}`] = queries.get(view)!;
    for (const [name, tensor] of attention.get(view)!) tensors[`cross_attn.${view}.${name}`] = tensor;
  }
  await writeSafetensors(path, tensors, { metadata: { format: "pt", views: JSON.stringify(views) } });
}

function isSafetensors(path: string): boolean {
  const extension = extname(path).toLowerCase();
  if (![".safetensors", ".pth", ".pt"].includes(extension)) {
    throw new MaspError(`"${path}" has the extension "${extension}", expected .safetensors, .pth or .pt for aspect modules`);
  }
  return extension === ".safetensors";
}

function readNamed(path: string): NamedTensors {
  using file = openSafetensors(path);
  const tensors = new Map([...file.tensors.keys()].map((name) => [name, file.readTensor(name)]));
  const found = [...tensors.keys()].filter((name) => name.startsWith("q_view.")).map((name) => name.slice("q_view.".length));
  return { views: inOrder(found, file.metadata["views"]), tensors };
}

/** The header lists tensors by name; the order of the views stands in the metadata, when this program has written the file. */
function inOrder(found: string[], order: string | undefined): string[] {
  try {
    const views: unknown = JSON.parse(order ?? "null");
    if (Array.isArray(views) && views.length === found.length && found.every((view) => views.includes(view))) return views;
  } catch {
    // Another program's metadata.
  }
  return found;
}

/** `{"q_view": {view: tensor}, "cross_attn": {view: state dict}, "fuser": None}`; the state dicts are in the order of the settings. */
async function readReference(path: string): Promise<NamedTensors> {
  const value = await readTorchFile(path);
  const wrong = (where: string, found: unknown, expected: string) =>
    new MaspError(
      `Cannot load "${path}": ${where} is ${describeTorchValue(found)}, expected ${expected}; use the aspect file that stage 1 writes`,
    );
  const dict = (found: TorchValue | undefined, where: string): Map<string, TorchValue> => {
    if (!(found instanceof Map)) throw wrong(where, found, "a dict");
    return found as Map<string, TorchValue>;
  };
  const content = dict(value, "its content");
  const fuser = content.get("fuser") ?? null;
  if (fuser !== null) throw wrong("fuser", fuser, "None (views are joined without one)");
  const tensors = new Map<string, TensorData>();
  const put = (name: string, found: TorchValue) => {
    if (!isTensor(found)) throw wrong(name, found, "a tensor");
    tensors.set(name, found);
  };
  const queries = dict(content.get("q_view"), "q_view");
  const attention = dict(content.get("cross_attn"), "cross_attn");
  for (const [view, tensor] of queries) put(`q_view.${view}`, tensor);
  for (const [view, module] of attention) {
    for (const [name, tensor] of dict(module, `cross_attn.${view}`)) put(`cross_attn.${view}.${name}`, tensor);
  }
  const ordered = [...attention.keys()].filter((view) => queries.has(view));
  return { views: [...ordered, ...[...queries.keys()].filter((view) => !attention.has(view))], tensors };
}
