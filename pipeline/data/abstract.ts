import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import type { Example } from "./example.ts";
import { isPicture, listFolder, readOptionalText, stem } from "./folders.ts";
import { mostVotes, tableLines } from "./vote_table.ts";

const TABLE = "ABSTRACT_groundTruth.csv";
const LABELS = ["amusement", "anger", "awe", "content", "disgust", "excitement", "fear", "sad"];

/**
 * Abstract (Machajdik and Hanbury, ACM Multimedia 2010): `ABSTRACT_groundTruth.csv` with a row of votes for every picture, found in the folder or in
 * its `testImages_abstract/`; pictures lie beside the table or in `images/`. Quotes around cells are allowed.
 *
 * The label is the column with most votes, the first in the table's order of several; a picture without a vote is left out.
 *
 * @returns Pictures sorted by file name; `undefined` when there is no such table.
 * @throws {MaspError} When the table is not as described.
 */
export async function abstractExamples(root: string): Promise<Example[] | undefined> {
  for (const folder of [root, join(root, "testImages_abstract")]) {
    const path = join(folder, TABLE);
    const text = await readOptionalText(path);
    if (text !== undefined) return readTable(text, { path, pictures: await pictureFolder(folder) });
  }
  return undefined;
}

function readTable(text: string, place: { path: string; pictures: string }): Example[] {
  const [header, ...rows] = tableLines(text).map(({ line, number }) => ({ cells: line.split(",").map(unquote), number }));
  const names = header?.cells.slice(1).map((name) => name.toLowerCase()) ?? [];
  const missing = LABELS.filter((label) => !names.includes(label));
  if (missing.length > 0) {
    throw new MaspError(
      `Abstract's table "${place.path}" has the columns ${names.join(", ") || "(none)"}, ${missing.join(", ")} missing; download it again`,
    );
  }
  const labels = names.filter((name) => LABELS.includes(name));
  const examples = rows.flatMap(({ cells, number }) => {
    const votes = labels.map((label) => cells[1 + names.indexOf(label)]);
    const label = mostVotes(votes, { labels, place: `Abstract's table "${place.path}", line ${number}` });
    return label === undefined ? [] : [{ image: join(place.pictures, cells[0]), id: stem(cells[0]), label }];
  });
  return examples.sort((a, b) => (a.image < b.image ? -1 : 1));
}

async function pictureFolder(folder: string): Promise<string> {
  for (const place of [folder, join(folder, "images"), join(folder, "testImages_abstract")]) {
    if ((await listFolder(place))?.files.some(isPicture)) return place;
  }
  return folder;
}

function unquote(cell: string): string {
  return cell.trim().replace(/^(['"])(.*)\1$/, "$2").trim();
}
