import { extname, join } from "@std/path";
import { MaspError } from "../errors.ts";
import type { Example } from "./example.ts";
import { readOptionalText } from "./folders.ts";
import { mostVotes, tableLines } from "./vote_table.ts";

const COLUMNS = ["anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"];
/** Columns before the probabilities: file, valence, arousal. */
const FIRST = 3;

/**
 * Emotion6 (Peng et al., CVPR 2015): `images/` and the tab-separated `ground_truth.txt` with file, valence, arousal and seven probabilities. The
 * probabilities' order is read from the header (`[prob. anger]` …); without a header it is anger, disgust, fear, joy, sadness, surprise, neutral.
 *
 * The label is the most probable of the six emotions, the first column of several; `neutral` is no category and does not count. A picture to which
 * nobody gave any of the six is left out.
 *
 * @returns Pictures sorted by file name; `undefined` when there is no `ground_truth.txt`.
 * @throws {MaspError} When the table is not as described.
 */
export async function emotion6Examples(root: string): Promise<Example[] | undefined> {
  const path = join(root, "ground_truth.txt");
  const text = await readOptionalText(path);
  if (text === undefined) return undefined;
  const lines = tableLines(text);
  const header = lines[0]?.line.split("\t");
  const hasHeader = header !== undefined && !header.slice(1).some((cell) => cell.trim() !== "" && Number.isFinite(Number(cell)));
  const columns = hasHeader ? readHeader(header, path) : COLUMNS;
  const examples = lines.slice(hasHeader ? 1 : 0).flatMap(({ line, number }) => {
    const cells = line.split("\t");
    const emotions = columns.map((label, index) => ({ label, cell: cells[FIRST + index] })).filter(({ label }) => label !== "neutral");
    const label = mostVotes(emotions.map(({ cell }) => cell), {
      labels: emotions.map((emotion) => emotion.label),
      place: `Emotion6's table "${path}", line ${number}`,
    });
    const file = cells[0].trim();
    return label === undefined ? [] : [{ image: join(root, "images", file), id: file.slice(0, file.length - extname(file).length), label }];
  });
  return examples.sort((a, b) => (a.image < b.image ? -1 : 1));
}

function readHeader(header: readonly string[], path: string): string[] {
  const columns = header.slice(FIRST).map((cell) => COLUMNS.find((name) => cell.toLowerCase().includes(name)) ?? cell.trim());
  const wrong = COLUMNS.filter((name) => columns.filter((column) => column === name).length !== 1);
  if (wrong.length === 0 && columns.length === COLUMNS.length) return columns;
  throw new MaspError(
    `Emotion6's table "${path}" has the columns ${JSON.stringify(header)}, ` +
      `expected file, valence, arousal and one probability each for ${COLUMNS.join(", ")}, separated by tabs; download it again`,
  );
}
