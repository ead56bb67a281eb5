/** The pictures, right and wrong, with what each aspect looks at and says. */
import { COLOUR_STOPS } from "../colour_scale.ts";
import type { ReportedPrediction } from "../evaluation_report.ts";
import type { PackedMap } from "../attention_file.ts";
import type { PictureLine } from "../picture_log.ts";
import type { EvaluationPart, RunFolder } from "../run_folder.ts";
import { Html, html } from "./html.ts";
import { pictureCard } from "./picture_card.ts";

/** Options of {@linkcode gallerySection}. */
export interface GalleryOptions {
  /** Pictures at most. */
  pictures: number;
  /** Thumbnails of pictures that `pictures.jsonl` does not have. */
  thumbnails: ReadonlyMap<string, PictureLine["thumbnail"]>;
}

/** The section of a run's first evaluation. */
export function gallerySection(run: RunFolder, id: string, options: GalleryOptions): Html {
  const [main] = run.evaluations;
  const base = run.evaluations.find((part) => part !== main && part.baseline);
  const baseRight = new Map(base?.report.predictions.map(({ image, correct }) => [image, correct]));
  const shown = mixed(chosen(main.report.predictions, options.pictures));
  const data: Record<string, PackedMap>[] = [];
  const cards = shown.map((prediction) => {
    const line = lineOf(main, prediction, options.thumbnails);
    const maps = line.attention ? data.push(line.attention) - 1 : undefined;
    return pictureCard({ prediction, line, base: baseRight.get(prediction.image), maps });
  });
  const right = shown.filter(({ correct }) => correct).length;
  const gained = shown.filter(({ image, correct }) => correct && baseRight.get(image) === false).length;
  const lost = shown.filter(({ image, correct }) => !correct && baseRight.get(image) === true).length;
  const filters: [name: string, text: string, count: number][] = [["all", "All", shown.length], ["right", "Right", right], [
    "wrong",
    "Wrong",
    shown.length - right,
  ]];
  if (base) filters.push(["gained", "Better than the base model", gained], ["lost", "Worse", lost]);
  const some = shown.length < main.report.predictions.length &&
    `${shown.length} of ${main.report.predictions.length} pictures, right and wrong ones spread over all. `;
  return html`<section id="${id}" class="gallery">
<h2>Pictures</h2>
<p class="lead">${some}${
    data.length > 0 &&
    html`
      The small maps show where each aspect looks, the mean of its queries: nothing is clear, most is yellow. Point at one, or move to it with the Tab key, to see it on the picture; press it for its single queries.
    `
  }${
    shown.some(({ aspects }) => aspects && Object.keys(aspects).length > 0) &&
    "In quotation marks is what the aspect says: ✓ as it is annotated; ✗ stands before what is annotated instead. "
  }${shown.some(({ scores }) => scores) && "A dot marks the label among the probabilities."}</p>
<div class="filters">
<div class="buttons" role="group" aria-label="Which pictures">${
    filters.map(([name, text, count], i) =>
      html`<button type="button" data-filter="${name}" aria-pressed="${String(i === 0)}">${text} <span>${count}</span></button>`
    )
  }</div>
${choice("label", "Label", shown.map(({ label }) => label))}${choice("answer", "Answer", shown.map(({ prediction }) => prediction.trim()))}
<p class="count" aria-live="polite"></p>
</div>
<div class="cards">${cards}</div>
<p class="none" hidden>No picture is of this kind.</p>
<button type="button" class="more" hidden>Show more</button>
${
    data.length > 0 &&
    html`<script type="application/json" class="maps">${new Html(
      JSON.stringify({ stops: COLOUR_STOPS, pictures: data }).replaceAll("<", "\\u003c"),
    )}</script>`
  }
</section>`;
}

function choice(name: string, text: string, values: readonly string[]): Html {
  const all = [...new Set(values)].filter((value) => value !== "").sort();
  return html`<label>${text} <select data-by="${name}"><option value="">any</option>${
    all.map((value) => html`<option>${value}</option>`)
  }</select></label>`;
}

function lineOf(part: EvaluationPart, { image }: ReportedPrediction, thumbnails: GalleryOptions["thumbnails"]): PictureLine {
  const line = part.pictures.get(image) ?? { image };
  return { ...line, thumbnail: line.thumbnail ?? thumbnails.get(image) };
}

/** At most so many: half of them wrong where there are enough, spread evenly, in their order. */
export function chosen<T extends { correct: boolean }>(predictions: readonly T[], most: number): T[] {
  if (predictions.length <= most) return [...predictions];
  const wrong = predictions.filter(({ correct }) => !correct);
  const right = predictions.filter(({ correct }) => correct);
  const wrongs = Math.min(wrong.length, Math.max(Math.floor(most / 2), most - right.length));
  const spread = (list: readonly T[], count: number) =>
    Array.from({ length: count }, (_, i) => list[Math.floor((i + 0.5) * list.length / count)]);
  const picked = new Set([...spread(wrong, wrongs), ...spread(right, most - wrongs)]);
  return predictions.filter((prediction) => picked.has(prediction));
}

/** In turn one of each label, so that the first ones are of many kinds. */
function mixed(predictions: readonly ReportedPrediction[]): ReportedPrediction[] {
  const labels = [...Map.groupBy(predictions, ({ label }) => label).values()];
  const longest = Math.max(0, ...labels.map((group) => group.length));
  return Array.from({ length: longest }, (_, i) => labels.flatMap((group) => group.slice(i, i + 1))).flat();
}
