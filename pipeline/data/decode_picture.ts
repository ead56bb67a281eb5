import type { Sharp, SharpOptions } from "sharp";
import { MaspError } from "../errors.ts";
import type { Picture } from "../qwen2_vl/preprocess/picture.ts";

/** Pictures of more pixels are refused, as Pillow does with what may be a decompression bomb. */
const MAX_PIXELS = 178_956_970;

/** Options of {@linkcode decodePicture}. */
export interface DecodePictureOptions {
  /** Name of the file, for error messages. */
  name: string;
  /** Largest number of pixels (width × height). Default: 178,956,970, Pillow's limit. */
  maxPixels?: number;
}

/**
 * Decodes a picture file to RGB bytes: JPEG (CMYK, too), PNG, WebP, GIF and TIFF bit for bit as Pillow's `Image.open(…).convert("RGB")` does, AVIF
 * nearly. Of moving pictures and files of several pages the first is taken. Colour profiles and EXIF orientation are not applied (a turned photograph
 * is seen as it is stored, as in the reference), an alpha channel is dropped, 16 bits become the upper 8. Two exceptions: Pillow clips gray pictures
 * of 16 bits to white, and gives transparent GIF pixels the palette's colour; here they are scaled, and black. BMP is not decoded.
 *
 * @param bytes The whole file.
 * @param options See {@linkcode DecodePictureOptions}.
 * @returns (height, width, 3)
 * @throws {MaspError} When the file is no picture, is truncated or has too many pixels; the message names the file.
 */
export async function decodePicture(bytes: Uint8Array, options: DecodePictureOptions): Promise<Picture> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new MaspError(`Cannot decode picture "${options.name}": ${reason}; replace or remove the file`, { cause });
  };
  if (bytes.length === 0) return fail("the file is empty");
  const { default: sharp } = await import("sharp");
  const maxPixels = options.maxPixels ?? MAX_PIXELS;
  const settings: SharpOptions = { ignoreIcc: true, failOn: "error", limitInputPixels: false };
  try {
    const { width, height, space } = await sharp(bytes, settings).metadata();
    if (width * height > maxPixels) fail(`it has ${width}×${height} pixels, more than the limit of ${maxPixels}`);
    const image = sharp(bytes, settings);
    return space === "cmyk" ? await decodeCmyk(image) : await decodeRgb(image);
  } catch (error) {
    if (error instanceof MaspError) throw error;
    return fail((error as Error).message.split("\n")[0].replace(/[\s:.;]+$/, ""), error);
  }
}

async function decodeRgb(image: Sharp): Promise<Picture> {
  const { data, info } = await image.toColourspace("srgb").removeAlpha().raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width: info.width, height: info.height };
}

/** Pillow's conversion (`cmyk2rgb` in src/libImaging/Convert.c): each ink times black, rounded, in integers. */
async function decodeCmyk(image: Sharp): Promise<Picture> {
  const { data, info } = await image.pipelineColourspace("cmyk").toColourspace("cmyk").raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  const rgb = new Uint8ClampedArray(info.width * info.height * 3);
  for (let i = 0, o = 0; o < rgb.length; i += info.channels) {
    const white = 255 - data[i + 3];
    for (let channel = 0; channel < 3; channel++) {
      const product = data[i + channel] * white + 128;
      rgb[o++] = white - (((product >> 8) + product) >> 8);
    }
  }
  return { data: new Uint8Array(rgb.buffer), width: info.width, height: info.height };
}
