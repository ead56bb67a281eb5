/** What kind of picture a file is, by its first bytes: names and headers of a request are not asked. */

/** A kind of picture that the decoder reads. */
export type PictureType = "JPEG" | "PNG" | "WebP" | "GIF" | "AVIF" | "TIFF";

/** Media types by kind. */
export const MEDIA_TYPES: Readonly<Record<PictureType, string>> = {
  JPEG: "image/jpeg",
  PNG: "image/png",
  WebP: "image/webp",
  GIF: "image/gif",
  AVIF: "image/avif",
  TIFF: "image/tiff",
};

const SIGNATURES: readonly (readonly [PictureType, RegExp])[] = [
  ["JPEG", /^\xff\xd8\xff/],
  ["PNG", /^\x89PNG\r\n[^]\n/],
  ["GIF", /^GIF8[79]a/],
  ["WebP", /^RIFF[^]{4}WEBP/],
  ["TIFF", /^(II\*\0|MM\0\*)/],
  ["AVIF", /^[^]{4}ftyp([^]{4})*?avi[fs]/],
];

/** Kinds of files that people take for pictures, or that pictures are saved as, and what to do then. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^[^]{4}ftyp([^]{4})*?(heic|heix|mif1|msf1)/, "a HEIC picture; save it as JPEG first"],
  [/^BM/, "a BMP picture; save it as PNG first"],
  [/^%PDF/, "a PDF document"],
  [/^PK(?=[^\x20-\x7e]{2})/, "a ZIP archive or an office document"],
  [/^\s*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*)?<svg/i, "an SVG drawing; save it as PNG first"],
  [/^\s*<(!doctype html|html)/i, "a web page; save the picture itself"],
  [/^[\t\n\r\x20-\x7e\x80-\xff]*$/, "text"],
];

/**
 * The kind of a picture.
 *
 * @param bytes the file, or its first 64 bytes
 * @returns nothing when it is none that can be read
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pictureType } from "./picture_type.ts";
 *
 * assertEquals(pictureType(new TextEncoder().encode("GIF89a")), "GIF");
 * assertEquals(pictureType(new TextEncoder().encode("a text named picture.gif")), undefined);
 * ```
 */
export function pictureType(bytes: Uint8Array): PictureType | undefined {
  const start = beginning(bytes);
  return SIGNATURES.find(([, signature]) => signature.test(start))?.[0];
}

/** What a file that is no readable picture looks like, in words: "a PDF document"; "no known picture" where nothing is known. */
export function describeFile(bytes: Uint8Array): string {
  const start = beginning(bytes);
  return OTHERS.find(([signature]) => signature.test(start))?.[1] ?? "no known kind of picture";
}

/** The first bytes, each a character. */
function beginning(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 64));
}
