/** Checkpoint folders made from another one, in other forms: number types, shards, key names, tied embeddings. */
import { join } from "@std/path";
import { openSafetensors, writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import { asFloat32, type TensorData } from "../../../pipeline/checkpoint/tensor_data.ts";

/** How a folder shall differ from the one it is made of. */
export interface VariantOptions {
  /** Changes the tensors by name. */
  tensors?: (tensors: Record<string, TensorData>) => Record<string, TensorData>;
  /** Number of shards; one file without an index when left out. */
  shards?: number;
  /** Changes `config.json`. */
  config?: (config: Record<string, unknown>) => Record<string, unknown>;
}

/** Copies a folder with changes into `to`, which must be there. */
export async function writeVariant(from: string, to: string, options: VariantOptions = {}): Promise<void> {
  for (const { name } of Deno.readDirSync(from)) {
    if (!name.startsWith("model.safetensors")) await Deno.copyFile(join(from, name), join(to, name));
  }
  const config = JSON.parse(await Deno.readTextFile(join(from, "config.json")));
  await Deno.writeTextFile(join(to, "config.json"), JSON.stringify(options.config?.(config) ?? config));
  const stored = readTensors(join(from, "model.safetensors"));
  const tensors = Object.entries(options.tensors?.(stored) ?? stored);
  const { shards } = options;
  if (!shards) return await writeSafetensors(join(to, "model.safetensors"), Object.fromEntries(tensors));
  const map: Record<string, string> = {};
  for (let i = 0; i < shards; i++) {
    const name = `model-0000${i + 1}-of-0000${shards}.safetensors`;
    const part = tensors.filter((_, t) => t % shards === i); // neighbours in different files
    for (const [tensor] of part) map[tensor] = name;
    await writeSafetensors(join(to, name), Object.fromEntries(part));
  }
  await Deno.writeTextFile(join(to, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: map }));
}

/** The names of transformers 4.52 and newer. */
export function newerNames(tensors: Record<string, TensorData>): Record<string, TensorData> {
  const newer = (name: string) =>
    name.startsWith("visual.") ? `model.${name}` : name.startsWith("model.") ? name.replace("model.", "model.language_model.") : name;
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [newer(name), tensor]));
}

/** Every tensor in another number type. */
export function withType(dtype: "F32" | "F16"): (tensors: Record<string, TensorData>) => Record<string, TensorData> {
  const convert = (tensor: TensorData): TensorData => {
    const floats = asFloat32(tensor);
    if (dtype === "F32") return { ...tensor, dtype, data: floats };
    return { ...tensor, dtype, data: new Uint16Array(Float16Array.from(floats).buffer) };
  };
  return (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, convert(tensor)]));
}

function readTensors(path: string): Record<string, TensorData> {
  using file = openSafetensors(path);
  return Object.fromEntries([...file.tensors.keys()].map((name) => [name, file.readTensor(name)]));
}
