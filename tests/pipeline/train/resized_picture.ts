import { basename, join } from "@std/path";
import sharp from "sharp";

/** A picture in another size, as a PNG in `dir`. @returns its path */
export async function resizedPicture(
  image: string,
  options: { dir: string; size: readonly [width: number, height: number] },
): Promise<string> {
  const { dir, size: [width, height] } = options;
  const path = join(dir, `${width}x${height}-${basename(image)}`);
  await Deno.writeFile(path, await sharp(await Deno.readFile(image)).resize(width, height, { fit: "fill" }).png().toBuffer());
  return path;
}
