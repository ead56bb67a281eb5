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
  const folders = [...new Set([modelName, inWeights])];
  for (const folder of folders) if (await exists(folder, { isDirectory: true })) return folder;
  throw new MaspError(
    `Cannot find model "${modelName}": there is no folder ${folders.map((folder) => `"${folder}"`).join(" and no ")}; ` +
      `download the checkpoint's files into ${folders.length > 1 ? "the latter" : "it"}, or name its folder with --model-name`,
  );
}
