/** A small copy of a picture, as the model sees it: the first frame, without the turn that its EXIF data asks for. */

/** Longest side of a copy, in pixels. */
const LONGEST = 960;

/**
 * Makes a copy.
 *
 * @param {Blob} file
 * @param {{ pixels: number }} limits larger pictures are not decoded
 * @returns {Promise<{ url: string, ratio: number } | undefined>} a data URL and width / height; nothing when this browser cannot show the file
 */
export async function previewOf(file, { pixels }) {
  const size = await sizeOf(file);
  if (!size || size.width * size.height > pixels) return undefined;
  const bitmap = await createImageBitmap(file, { imageOrientation: "none" }).catch(() => undefined);
  if (!bitmap) return undefined;
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const ratio = bitmap.width / bitmap.height;
  bitmap.close();
  return { url: canvas.toDataURL("image/webp", 0.88), ratio };
}

/** Width and height from the file's header: the pixels are not decoded for it. */
function sizeOf(file) {
  const url = URL.createObjectURL(file);
  const image = new Image();
  return new Promise((resolve) => {
    image.onload = () => resolve({ width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => resolve(undefined);
    image.src = url;
  }).finally(() => URL.revokeObjectURL(url));
}
