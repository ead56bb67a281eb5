import { exists } from "@std/fs";
import { join } from "@std/path";
import { readOptionalText } from "../pipeline/data/folders.ts";
import { MaspError } from "../pipeline/errors.ts";

/**
 * The folder of a model: the name itself when there is such a folder, else the last part of the name in `weights/`
 * (`Qwen/Qwen2-VL-7B-Instruct` → `weights/Qwen2-VL-7B-Instruct`), else what Hugging Face's programs have in their cache under that name.
 *
 * @param modelName `model_name` of the settings.
 * @throws {MaspError} When there is none of them.
 */
export async function findModelFolder(modelName: string): Promise<string> {
  const inWeights = join("weights", modelName.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)!);
  const folders = [...new Set([modelName, inWeights])];
  for (const folder of [...folders, ...await cached(modelName)]) if (await exists(folder, { isDirectory: true })) return folder;
  const isName = /^(?!weights\/)[\w.-]+\/[\w.-]+$/.test(modelName);
  const how = isName ? `deno task download ${modelName} makes the latter` : "deno task download OWNER/NAME makes folders in weights/";
  throw new MaspError(
    `Cannot find model "${modelName}": there is no folder ${folders.map((folder) => `"${folder}"`).join(" and no ")}; ` +
      `${how}, or name a checkpoint's folder with --model-name`,
  );
}

/** Where Hugging Face's cache has a model's main branch: `models--OWNER--NAME/snapshots/COMMIT`. */
async function cached(modelName: string): Promise<string[]> {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME, USERPROFILE } = Deno.env.toObject();
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(HOME ?? USERPROFILE ?? ".", ".cache"), "huggingface");
  const repo = join(HF_HUB_CACHE ?? join(home, "hub"), `models--${modelName.replaceAll("/", "--")}`);
  const commit = await readOptionalText(join(repo, "refs", "main"));
  return commit === undefined ? [] : [join(repo, "snapshots", commit.trim())];
}
