/** `pictures.jsonl` of a run folder: what the report shows of each picture beside the prediction. */
import { writeAll, writeAtomically } from "../checkpoint/atomic_write.ts";
import { readOptionalText } from "../data/folders.ts";
import type { PackedMap } from "./attention_file.ts";
import type { Thumbnail } from "./thumbnail.ts";

/** One line of the file. */
export interface PictureLine {
  /** Path of the picture, as in the predictions. */
  image: string;
  /** The picture in small. */
  thumbnail?: Thumbnail;
  /** Where each view looks, by view. */
  attention?: Record<string, PackedMap>;
}

/**
 * Writes the file, line by line as they come, whole or not at all.
 *
 * @throws {MaspError} when it cannot be written
 */
export async function writePictureLog(path: string, lines: AsyncIterable<PictureLine>): Promise<void> {
  const encoder = new TextEncoder();
  await writeAtomically(path, async (file) => {
    for await (const line of lines) await writeAll(file, encoder.encode(`${JSON.stringify(line)}\n`));
  });
}

/** Reads the file; lines that are none are passed over. @returns the lines by picture; none when there is no file */
export async function readPictureLog(path: string): Promise<Map<string, PictureLine>> {
  const text = await readOptionalText(path) ?? "";
  const lines = text.split("\n").flatMap((line) => {
    try {
      const value = JSON.parse(line) as PictureLine;
      return typeof value?.image === "string" ? [[value.image, value] as const] : [];
    } catch {
      return [];
    }
  });
  return new Map(lines);
}
