/** The demo's artwork. */
import { basename, join } from "@std/path";
import { MaspError } from "../errors.ts";

/** A square picture with an alpha channel. */
export interface Sprite {
  /** Its side in pixels. */
  side: number;
  /** Red, green and blue, multiplied by alpha, and alpha (side, side, 4), 0…255. */
  rgba: Int32Array;
}

/**
 * Reads all PNG files of a folder.
 *
 * @returns sprites by file name without ending
 * @throws {MaspError} when the folder has none
 */
export async function loadSprites(dir: string): Promise<Map<string, Sprite>> {
  const { default: sharp } = await import("sharp");
  const sprites = new Map<string, Sprite>();
  for await (const { name } of Deno.readDir(dir)) {
    if (!name.endsWith(".png")) continue;
    const { data, info } = await sharp(join(dir, name)).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    if (info.width !== info.height) throw new MaspError(`"${join(dir, name)}" is ${info.width}×${info.height}; a sprite has to be square`);
    const rgba = Int32Array.from(data);
    for (let i = 0; i < rgba.length; i += 4) {
      for (let c = 0; c < 3; c++) rgba[i + c] = Math.trunc((rgba[i + c] * rgba[i + 3] + 127) / 255);
    }
    sprites.set(basename(name, ".png"), { side: info.width, rgba });
  }
  if (sprites.size === 0) throw new MaspError(`"${dir}" has no PNG files; give the folder of the demo's sprites`);
  return sprites;
}
