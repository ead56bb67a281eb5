import { MaspError } from "../errors.ts";
import type { Picture } from "../qwen2_vl/preprocess/picture.ts";
import { checkPictureSize } from "../qwen2_vl/preprocess/smart_resize.ts";
import { decodePicture } from "./decode_picture.ts";

/**
 * Reads a picture file.
 *
 * @param path Where it is.
 * @returns Its pixels, (height, width, 3).
 * @throws {MaspError} When it cannot be read, decoded (see {@linkcode decodePicture}) or is too narrow for Qwen2-VL; the message names the file.
 */
export async function readPicture(path: string): Promise<Picture> {
  return await decodeForModel(await readPictureFile(path), path);
}

/** The bytes of a picture file. @throws {MaspError} When it cannot be read; the message names the file. */
export async function readPictureFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    throw new MaspError(`Cannot read picture "${path}": ${(cause as Error).message}; check its path and permissions`, { cause });
  }
}

/**
 * Decodes a picture that the model shall see.
 *
 * @param bytes The whole file.
 * @param name Of the file, for messages.
 * @throws {MaspError} As {@linkcode decodePicture}, and when it is too narrow for Qwen2-VL.
 */
export async function decodeForModel(bytes: Uint8Array, name: string): Promise<Picture> {
  const picture = await decodePicture(bytes, { name });
  checkPictureSize(picture, { name });
  return picture;
}
