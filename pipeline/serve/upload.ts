/** A picture that was sent: size, kind and number of pixels are checked before anything is decoded. */
import { HttpError } from "./http_error.ts";
import { describeFile, MEDIA_TYPES, type PictureType, pictureType } from "./picture_type.ts";

/** What is taken at most. */
export interface UploadLimits {
  /** Bytes of the file. */
  bytes: number;
  /** Pixels of the picture: width × height. */
  pixels: number;
}

/** Limits where nothing else is said: 20 MB, 100 megapixels. */
export const UPLOAD_LIMITS: UploadLimits = { bytes: 20e6, pixels: 100e6 };

/** A body must have arrived after so many milliseconds. */
const PATIENCE = 60_000;

/** A checked picture, not yet decoded. */
export interface Upload {
  /** The whole file. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Its kind, by its content. */
  type: PictureType;
  /** Pixels across, as the file's header says. */
  width: number;
  /** Pixels down, as the file's header says. */
  height: number;
}

/** Options of {@linkcode readUpload}. */
export interface ReadUploadOptions {
  /** What is taken at most; {@linkcode UPLOAD_LIMITS} when left out. */
  limits?: UploadLimits;
  /** Ends the reading; its reason is thrown. */
  signal?: AbortSignal;
}

/**
 * Reads a request's body and checks it.
 *
 * @throws {HttpError} 400 without a body, 408 when it does not arrive, 413 when it or the picture is too large, 415 when it is no picture, 422 when
 * the picture's header is damaged
 */
export async function readUpload(request: Request, options: ReadUploadOptions = {}): Promise<Upload> {
  const { limits = UPLOAD_LIMITS, signal } = options;
  if (request.headers.get("Content-Type")?.startsWith("multipart/")) {
    throw new HttpError(415, "Send the picture's bytes as the body, without a form: curl --data-binary @picture.jpg");
  }
  const bytes = await readBody(request, { limit: limits.bytes, signal });
  if (bytes.length === 0) throw new HttpError(400, "The file is empty; send the picture's bytes as the body");
  const type = pictureType(bytes);
  if (!type) {
    const kinds = new Intl.ListFormat("en", { type: "disjunction" }).format(Object.keys(MEDIA_TYPES));
    throw new HttpError(415, `This file is no picture that can be read: it looks like ${describeFile(bytes)}. Expected ${kinds}.`);
  }
  const { width, height } = await sizeOf(bytes, type);
  if (width * height > limits.pixels) {
    throw new HttpError(
      413,
      `This picture has ${width} × ${height} pixels, ${megapixels(width * height)}; at most ${
        megapixels(limits.pixels)
      } are read. Make it smaller.`,
    );
  }
  return { bytes, type, width, height };
}

async function readBody(request: Request, options: { limit: number; signal?: AbortSignal }): Promise<Uint8Array<ArrayBuffer>> {
  const { limit, signal } = options;
  const tooLarge = (found: string) =>
    new HttpError(413, `This file has ${found} than ${megabytes(limit)}, which is the limit. Make the picture smaller.`);
  const announced = Number(request.headers.get("Content-Length"));
  if (announced > limit) throw tooLarge(`${megabytes(announced)}, more`);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const late = AbortSignal.timeout(PATIENCE);
  const collect = new WritableStream<Uint8Array<ArrayBuffer>>({
    write(chunk) {
      length += chunk.length;
      if (length > limit) throw tooLarge("more");
      chunks.push(chunk);
    },
  });
  try {
    await request.body?.pipeTo(collect, { signal: signal ? AbortSignal.any([late, signal]) : late });
  } catch (error) {
    if (error instanceof HttpError) throw error;
    signal?.throwIfAborted();
    if (late.aborted) throw new HttpError(408, `The picture did not arrive within ${PATIENCE / 1000} seconds; send it again`);
    throw new HttpError(400, `The picture did not arrive whole: ${(error as Error).message}; send it again`, { cause: error });
  }
  const bytes = new Uint8Array(length);
  chunks.reduce((at, chunk) => (bytes.set(chunk, at), at + chunk.length), 0);
  return bytes;
}

/** Reads the header alone. */
async function sizeOf(bytes: Uint8Array, type: PictureType): Promise<{ width: number; height: number }> {
  const { default: sharp } = await import("sharp");
  try {
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return { width, height };
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new HttpError(422, `This ${type} file is damaged: ${reason}. Save or copy the picture again.`, { cause: error });
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes % 1e6 ? 1 : 0)} MB`;
}

function megapixels(pixels: number): string {
  return `${(pixels / 1e6).toFixed(pixels % 1e6 ? 1 : 0)} megapixels`;
}
