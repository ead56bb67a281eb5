/** What `deno task bench tune` measured: the fastest kernels of this adapter, kept in a file and used by later runs. */
import { join } from "@std/path";
import { z } from "zod";
import type { AttentionKernel } from "../kernels/attention/operands.ts";
import type { Gpu } from "../kernels/gpu.ts";
import type { ProductKernel } from "../kernels/linear/product_choice.ts";
import { VECTOR_THREADS } from "../kernels/linear/vector_rows_wgsl.ts";
import { writeFileAtomic } from "./checkpoint/atomic_write.ts";
import { MaspError } from "./errors.ts";
import { readJson } from "./read_json.ts";

const sideSchema = z.union([z.literal(64), z.literal(128)]);
const sizeSchema = z.int().min(1).max(4096);
const kernelSchema = z.strictObject({
  variant: z.enum(["subgroup_matrix", "subgroup", "tiled", "vector"]),
  tile: z.strictObject({
    rows: sideSchema,
    columns: sideSchema,
    half: z.boolean(),
    copies: z.boolean().optional(),
  }).refine(({ half, copies }) => half || !copies, { error: "copies are of f16 alone" }).optional(),
  matrixTile: z.strictObject({
    rows: sizeSchema,
    columns: sizeSchema,
    depth: sizeSchema,
    down: sizeSchema.optional(),
    across: sizeSchema.optional(),
  }).optional(),
  threads: z.union(VECTOR_THREADS.map((threads) => z.literal(threads))).optional(),
  splits: z.int().min(1).max(64).optional(),
}).refine(({ variant, tile }) => (variant === "tiled") === (tile !== undefined), {
  error: "a tile has to be given for the variant tiled alone",
}).refine(({ variant, matrixTile }) => variant === "subgroup_matrix" || matrixTile === undefined, {
  error: "a tile of matrices belongs to the variant subgroup_matrix alone",
}).refine(({ variant, threads }) => variant === "vector" || threads === undefined, {
  error: "threads belong to the variant vector alone",
});

const attentionSchema = z.strictObject({
  variant: z.enum(["tiled", "tiled_half", "subgroup_matrix"]),
  columns: z.union([z.literal(64), z.literal(128)]).optional(),
  subgroups: z.int().min(1).max(64).optional(),
});

const tuningSchema = z.strictObject({
  adapter: z.string(),
  products: z.record(z.string(), kernelSchema),
  attention: z.record(z.string(), attentionSchema).default({}),
});

/** The fastest kernels. */
export interface Measured {
  /** For products, by `productKey`. */
  readonly products: ReadonlyMap<string, ProductKernel>;
  /** For attention, by `forwardKey` and `backwardKey`. */
  readonly attention: ReadonlyMap<string, AttentionKernel>;
}

/** What the choice of kernels depends on: the adapter, and what it is asked for. */
function nameOf({ name, precision, subgroupMatrices }: Gpu): string {
  return [name, precision, ...(subgroupMatrices.length ? ["subgroup matrices"] : [])].join(", ");
}

/** Where the measurements of an adapter are kept. */
export function tuningPath(gpu: Gpu, dir = "outputs/tuning"): string {
  return join(dir, `${nameOf(gpu).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}.json`);
}

/**
 * Writes measurements, added to those that are there.
 *
 * @returns the file
 */
export async function saveTuning(gpu: Gpu, measured: Partial<Measured>, dir?: string): Promise<string> {
  const path = tuningPath(gpu, dir);
  const before = await readTuning(gpu, dir);
  const joined = (name: keyof Measured) => Object.fromEntries([...before?.[name] ?? [], ...measured[name] ?? []]);
  const all = { adapter: nameOf(gpu), products: joined("products"), attention: joined("attention") };
  await writeFileAtomic(path, `${JSON.stringify(all, null, 2)}\n`);
  return path;
}

/**
 * Lets a GPU use what was measured on it, if anything was.
 *
 * @returns how many products and kinds of attention have a measured kernel
 * @throws {MaspError} when the file is no such file
 */
export async function useTuning(gpu: Gpu, dir?: string): Promise<number> {
  const measured = await readTuning(gpu, dir);
  if (!measured) return 0;
  for (const [key, kernel] of measured.products) gpu.productKernels.set(key, kernel);
  for (const [key, kernel] of measured.attention) gpu.attentionKernels.set(key, kernel);
  return measured.products.size + measured.attention.size;
}

/** How a GPU's kernels are chosen, in words; nothing for software adapters, which have kernels of their own. */
export function tuningText(gpu: Gpu): string | undefined {
  if (gpu.software) return undefined;
  const measured = gpu.productKernels.size + gpu.attentionKernels.size;
  return measured
    ? `${measured} measured on this adapter`
    : "by rules of thumb; deno task bench tune CHECKPOINT measures once which are the fastest on this adapter";
}

async function readTuning(gpu: Gpu, dir?: string): Promise<Measured | undefined> {
  const path = tuningPath(gpu, dir);
  if (!await Deno.stat(path).then(() => true, () => false)) return undefined;
  const result = tuningSchema.safeParse(await readJson(path));
  if (!result.success) {
    throw new MaspError(
      `"${path}" holds no measurements of kernels:\n${z.prettifyError(result.error)}\nRemove it, then run deno task bench tune`,
    );
  }
  const { adapter, products, attention } = result.data;
  if (adapter !== nameOf(gpu)) return undefined;
  return { products: new Map(Object.entries(products)), attention: new Map(Object.entries(attention)) };
}
