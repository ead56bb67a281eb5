import { join } from "@std/path";
import { z } from "zod";
import { MaspError } from "../errors.ts";
import type { Example, Split } from "./example.ts";
import { fieldErrors } from "./field_errors.ts";
import { isPicture, listFolder, readOptionalText, stem } from "./folders.ts";
import { mapParallel } from "./map_parallel.ts";

const schema = z.array(
  z.array(z.union([z.string(), z.number()], { error: "a text" }), { error: "a row [label, image id, image path, annotation path]" }),
  { error: "a list of rows" },
);

/**
 * EmoSet as published: `root/SPLIT.json` with rows `[label, image id, image path, annotation path]`, paths from `root`; older copies leave the image
 * id out. A path that ends in `.json` is the annotation, one that ends like a picture the picture.
 *
 * @returns Pictures in the file's order; `undefined` when there is no such file. Annotations that are not there are left out.
 * @throws {MaspError} When the file is no JSON list of such rows.
 */
export async function splitFileExamples(root: string, split: Split): Promise<Example[] | undefined> {
  const path = join(root, `${split}.json`);
  const text = await readOptionalText(path);
  if (text === undefined) return undefined;
  const examples = parseRows(text, path).map((row, index) => toExample(row, { root, path, index }));
  return await withoutMissingAnnotations(examples);
}

function parseRows(text: string, path: string): (string | number)[][] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MaspError(`Split file "${path}" is no JSON (${(cause as Error).message}); download it again`, { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new MaspError(`Split file "${path}": ${fieldErrors(result.error, value)}; download it again`);
  return result.data;
}

function toExample(row: (string | number)[], place: { root: string; path: string; index: number }): Example {
  const [label, ...rest] = row.map(String);
  const image = rest.find(isPicture);
  if (!label || image === undefined) {
    throw new MaspError(
      `Split file "${place.path}", row ${place.index}: found ${JSON.stringify(row)}, ` +
        `expected [label, image id, image path, annotation path]; correct the row or download the file again`,
    );
  }
  const annotation = rest.find((cell) => cell.endsWith(".json"));
  return {
    image: join(place.root, image),
    id: stem(image),
    label: label.toLowerCase(),
    ...(annotation ? { annotation: join(place.root, annotation) } : {}),
  };
}

/** Lists each annotation folder once instead of asking for every file. */
async function withoutMissingAnnotations(examples: Example[]): Promise<Example[]> {
  const folderOf = (path: string) => join(path, "..");
  const folders = [...new Set(examples.flatMap(({ annotation }) => annotation ? [folderOf(annotation)] : []))];
  const present = new Set(
    (await mapParallel(folders, async (folder) => (await listFolder(folder))?.files.map((file) => join(folder, file)) ?? [])).flat(),
  );
  return examples.map(({ annotation, ...example }) => annotation && present.has(annotation) ? { ...example, annotation } : example);
}
