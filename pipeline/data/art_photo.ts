import { join } from "@std/path";
import type { Example } from "./example.ts";
import { isPicture, listFolder, stem } from "./folders.ts";

/**
 * ArtPhoto (Machajdik and Hanbury, ACM Multimedia 2010): pictures in one folder (the root, `images/` or `testImages_artphoto/`), the label being the
 * file name up to the first `_`, lower case.
 *
 * @returns Pictures sorted by file name; `undefined` when none of these folders holds a picture.
 */
export async function artPhotoExamples(root: string): Promise<Example[] | undefined> {
  for (const folder of [root, join(root, "images"), join(root, "testImages_artphoto")]) {
    const files = (await listFolder(folder))?.files.filter(isPicture) ?? [];
    if (files.length === 0) continue;
    return files.map((file) => ({ image: join(folder, file), id: stem(file), label: stem(file).split("_")[0].toLowerCase() }));
  }
  return undefined;
}
