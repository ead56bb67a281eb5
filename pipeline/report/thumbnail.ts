/** Small versions of pictures, for the run folder and the report. */
import { MaspError } from "../errors.ts";

/** A picture in few bytes. */
export interface Thumbnail {
  /** Pixels across. */
  width: number;
  /** Pixels down. */
  height: number;
  /** Base64 of a WebP file. */
  webp: string;
}

/**
 * A picture within `size` × `size` pixels, never larger than it is. As in the model's input, an EXIF orientation is not applied.
 *
 * @param picture path of the file, or its bytes
 * @param options `size`: pixels of the longer side, 160 when left out
 * @throws {MaspError} when it cannot be read or decoded
 */
export async function thumbnailOf(picture: string | Uint8Array, options: { size?: number } = {}): Promise<Thumbnail> {
  const { size = 160 } = options;
  const { default: sharp } = await import("sharp");
  try {
    const bytes = typeof picture === "string" ? await Deno.readFile(picture) : picture;
    const image = sharp(bytes, { limitInputPixels: 178_956_970 }).resize(size, size, { fit: "inside", withoutEnlargement: true });
    const { data, info } = await image.flatten({ background: "white" }).webp({ quality: 80, effort: 4 }).toBuffer({
      resolveWithObject: true,
    });
    return { width: info.width, height: info.height, webp: new Uint8Array(data).toBase64() };
  } catch (cause) {
    const name = typeof picture === "string" ? `"${picture}"` : "the picture";
    throw new MaspError(`Cannot make a thumbnail of ${name}: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
}
