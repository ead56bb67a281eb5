/** What every run leaves in its folder beside its results, and what an evaluation leaves for the report. */
import { join } from "@std/path";
import { settingsYaml } from "../config/schema.ts";
import type { SettingsByStage } from "../config/schema_settings.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { writeFileAtomic } from "./checkpoint/atomic_write.ts";
import { pictureDetails, type PictureDetailsOptions } from "./aspects/picture_details.ts";
import type { Prediction } from "./evaluate.ts";
import type { Qwen2Vl } from "./load.ts";
import { type PictureLine, writePictureLog } from "./report/picture_log.ts";
import { writeRunInfo } from "./report/run_info.ts";
import { type Thumbnail, thumbnailOf } from "./report/thumbnail.ts";

/**
 * Writes `settings.yaml` (the settings as they were resolved) and `run.json` (versions, adapter, seed).
 *
 * @param settings of the run
 * @param options the device, what stands before the files' names, and other facts for `run.json`
 * @throws {MaspError} when a file cannot be written
 */
export async function recordRun(
  settings: SettingsByStage[keyof SettingsByStage],
  options: { gpu: Gpu; prefix?: string; facts?: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { gpu, prefix = "", facts } = options;
  const { outputDir, stage, seed, modelName, dataPath, weights } = settings;
  await writeFileAtomic(join(outputDir, `${prefix}settings.yaml`), settingsYaml(settings));
  const known = { task: stage, adapter: gpu.name, seed, model: modelName, data: dataPath, weights };
  await writeRunInfo(join(outputDir, `${prefix}run.json`), { ...known, ...facts });
}

/** Options of {@linkcode recordPictures}. */
export interface RecordPicturesOptions extends Omit<PictureDetailsOptions, "aspects"> {
  /** Trained modules; without them there are only thumbnails. */
  aspects?: PictureDetailsOptions["aspects"];
  /** The file. */
  path: string;
  /** Told how many pictures are done. */
  onPicture?: (done: number, total: number) => void;
}

/**
 * Writes thumbnails and attention maps of an evaluation's pictures; where that is interrupted, the file that is there stays.
 *
 * @param predictions one per picture, in the pictures' order
 * @returns the predictions with the aspects in words, where there are aspects; nothing when it was interrupted
 * @throws {MaspError} when a picture or an annotation is bad, or the file cannot be written
 */
export async function recordPictures(
  model: Qwen2Vl,
  predictions: readonly Prediction[],
  options: RecordPicturesOptions,
): Promise<Prediction[] | undefined> {
  const { aspects, examples, path, onPicture, signal } = options;
  const result = [...predictions];
  async function* lines(): AsyncGenerator<PictureLine> {
    let done = 0;
    if (!aspects) {
      for (const { image } of examples) {
        signal?.throwIfAborted();
        yield { image, thumbnail: await smallPicture(image) };
      }
      return;
    }
    for await (const { image, attention, ...words } of pictureDetails(model, { ...options, examples, aspects })) {
      result[done] = { ...result[done], ...words };
      yield { image, thumbnail: await smallPicture(image), attention };
      onPicture?.(++done, examples.length);
    }
    signal?.throwIfAborted(); // the details may have ended early
  }
  try {
    await writePictureLog(path, lines());
  } catch (error) {
    if (signal?.aborted) return undefined;
    throw error;
  }
  return result;
}

/** A picture in small; nothing for what is no file, or of a form that only the model's decoder reads. */
async function smallPicture(image: string): Promise<Thumbnail | undefined> {
  try {
    return await thumbnailOf(image);
  } catch {
    return undefined;
  }
}
