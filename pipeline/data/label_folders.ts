import { join } from "@std/path";
import type { Example, Split } from "./example.ts";
import { isPicture, listFolder, stem } from "./folders.ts";

/** Folders that hold no pictures of a label. */
const NO_LABELS = new Set(["annotation", "train", "test", "val"]);

/**
 * A folder data set: `root/SPLIT/LABEL/picture`, or all of `root/LABEL/picture` where `root` has no folder of any split. The label is the folder's name in lower case. EmoSet's annotations are found as `annotation/LABEL/ID.json` beside the split's folder or in
 * it.
 *
 * @returns Pictures sorted by folder, then by file name; `undefined` when neither layout is there.
 */
export async function labelFolderExamples(root: string, split: Split): Promise<Example[] | undefined> {
  const content = await listFolder(root);
  if (!content) return undefined;
  if (content.folders.includes(split)) return await picturesIn(join(root, split));
  if (content.folders.some((name) => name !== "annotation" && NO_LABELS.has(name))) return undefined;
  const examples = await picturesIn(root);
  return examples.length > 0 ? examples : undefined;
}

async function picturesIn(folder: string): Promise<Example[]> {
  const examples: Example[] = [];
  for (const name of (await listFolder(folder))?.folders ?? []) {
    if (NO_LABELS.has(name)) continue;
    const annotations = await annotationsOf(folder, name);
    for (const file of (await listFolder(join(folder, name)))?.files ?? []) {
      if (!isPicture(file)) continue;
      const id = stem(file);
      const annotation = annotations.get(id);
      examples.push({ image: join(folder, name, file), id, label: name.toLowerCase(), ...(annotation ? { annotation } : {}) });
    }
  }
  return examples;
}

/** Paths of the annotation files of one label, by picture id. */
async function annotationsOf(folder: string, label: string): Promise<Map<string, string>> {
  for (const place of [join(folder, "..", "annotation", label), join(folder, "annotation", label)]) {
    const content = await listFolder(place);
    if (content) return new Map(content.files.filter((file) => file.endsWith(".json")).map((file) => [stem(file), join(place, file)]));
  }
  return new Map();
}
