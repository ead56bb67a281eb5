/** What a run needs on the GPU: said before it loads a large checkpoint, and looked at again when the memory is used up. */
import { findModelFolder } from "../config/find_model_folder.ts";
import { type Gpu, GpuError } from "../kernels/gpu.ts";
import { openModelFolder } from "../pipeline/checkpoint/model_folder.ts";
import { MaspError } from "../pipeline/errors.ts";
import { describeNeed, memorySavings, savingLines } from "../pipeline/memory_advice.ts";
import { estimateMemory, type RunSettings } from "../pipeline/memory_estimate.ts";

/** Checkpoints of fewer numbers fit everywhere. */
const SMALL = 2 ** 28;

/**
 * Runs something that may use up the GPU's memory.
 *
 * @param run the run itself
 * @throws {MaspError} when the memory is used up: what the run needs, and which settings save how much
 */
export async function withMemoryAdvice<T>(gpu: Gpu, settings: RunSettings, run: () => Promise<T>): Promise<T> {
  const dir = await findModelFolder(settings.modelName);
  if (await numbersOf(dir) >= SMALL) console.log(`needs about ${describeNeed(await estimateMemory(gpu, settings, { dir }))}`);
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    const { batch = 1 } = settings;
    if (batch > 1 && /needs a buffer/.test(error.message)) {
      throw new MaspError(`${error.message}\nGive a smaller batch, such as --batch ${Math.ceil(batch / 2)}.`, { cause: error });
    }
    if (!/memory/i.test(error.message)) throw error;
    throw new MaspError(`${error.message}\n${savingLines(await memorySavings(gpu, settings, { dir }))}`, { cause: error });
  }
}

async function numbersOf(dir: string): Promise<number> {
  using folder = await openModelFolder(dir);
  return folder.names().reduce((sum, name) => sum + folder.tensor(name)!.shape.reduce((a, b) => a * b, 1), 0);
}
