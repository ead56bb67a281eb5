import { exists } from "@std/fs";
import { join } from "@std/path";
import { MaspError } from "../pipeline/errors.ts";

/**
 * The folder of a model: the name itself when there is such a folder, else the last part of the name in `weights/`
 * (`Qwen/Qwen2-VL-7B-Instruct` → `weights/Qwen2-VL-7B-Instruct`).
 *
 * @param modelName `model_name` of the settings.
 * @throws {MaspError} When there is neither.
 */
export async function findModelFolder(modelName: string): Promise<string> {
  const inWeights = join("weights", modelName.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)!);
  for (const folder of [modelName, inWeights]) if (await exists(folder, { isDirectory: true })) return folder;
  throw new MaspError(
    `Cannot find model "${modelName}": there is no folder "${modelName}" and no "${inWeights}"; ` +
      `download the checkpoint's files into the latter, or name its folder with --model-name`,
  );
}
