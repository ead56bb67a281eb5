/** One picture of the gallery. */
import { sameWords } from "../aspect_results.ts";
import { mostProbable } from "../calibration.ts";
import { plainName } from "../charts/chart.ts";
import type { ReportedPrediction } from "../evaluation_report.ts";
import { percent } from "../markdown.ts";
import type { PictureLine } from "../picture_log.ts";
import { type Html, html } from "./html.ts";

/** What a card shows. */
export interface CardContent {
  /** The answer. */
  prediction: ReportedPrediction;
  /** Thumbnail and maps, where there are some. */
  line?: PictureLine;
  /** Whether the base model's answer is right, where there is one. */
  base?: boolean;
  /** Place of the picture's maps in the page's data; absent without maps. */
  maps?: number;
}

/** How many of the categories are shown with their probability. */
const SCORES = 4;

/** The card. */
export function pictureCard(content: CardContent): Html {
  const { prediction, line, base, maps } = content;
  const { id, label, correct, text } = prediction;
  const answer = prediction.prediction.trim();
  const thumbnail = line?.thumbnail;
  const change = base === undefined || base === correct ? "" : correct ? "gained" : "lost";
  const alt = `Picture ${id}, labelled ${label}, answered ${answer || "nothing"}`;
  return html`
    <article class="card" data-right="${String(
      correct,
    )}" data-label="${label}" data-answer="${answer}" data-change="${change}" ${maps !== undefined && html`
      data-maps="${maps}"
    `}>
    <div class="top"><div class="picture">${thumbnail
      ? html`<img alt="${alt}" width="${thumbnail.width}" height="${thumbnail.height}" src="data:image/webp;base64,${thumbnail.webp}">`
      : html`<div class="absent" role="img" aria-label="${alt}; the picture is not there any more">no picture</div>`}${maps !== undefined &&
      html`<canvas aria-hidden="true"></canvas>`}</div>
    <div class="answer">
    <p class="mark ${correct ? "right" : "wrong"}">${correct ? "✓ right" : "✗ wrong"}</p>
    <h3>${answer || text || "no answer"}</h3>
    ${!correct && html`<p class="label">label: <b>${label}</b></p>`}
    ${change === "gained" && html`<p class="label">the base model is wrong here</p>`}${change === "lost" &&
      html`<p class="label">the base model is right here</p>`}
    ${prediction.scores && scoreBars(prediction.scores, label)}
    </div></div>
    ${views(content)}
    <p class="id">${id}</p>
    </article>
  `;
}

function scoreBars(scores: Readonly<Record<string, number>>, label: string): Html {
  const sorted = Object.entries(scores).sort(([, a], [, b]) => b - a).slice(0, SCORES);
  const { category } = mostProbable(scores);
  return html`<ul class="scores" aria-label="Probabilities">${
    sorted.map(([name, score]) =>
      html`<li${
        name === category && html`
          class="best"
        `
      }><span>${name}${
        name === label && html`<i title="the label"> •<span class="unseen"> the label</span></i>`
      }</span><meter min="0" max="1" value="${score.toFixed(4)}">${percent(score)}</meter><output>${
        (100 * score).toFixed(0)
      } %</output></li>`
    )
  }</ul>`;
}

function views({ prediction, line, maps }: CardContent): Html | undefined {
  const { aspects = {}, aspectLabels = {} } = prediction;
  const attention = line?.attention ?? {};
  const names = [...new Set([...Object.keys(attention), ...Object.keys(aspects)])];
  if (names.length === 0) return undefined;
  const tiles = names.map((view) => {
    const words = aspects[view];
    const label = Object.hasOwn(aspectLabels, view) ? aspectLabels[view] : undefined;
    const judged = words !== undefined && label !== undefined;
    const right = judged && sameWords(words, label);
    const said = html`<span class="name">${plainName(view)}</span>${
      words !== undefined && html`<span class="words">“${words || "…"}”</span>`
    }${
      judged &&
      html`<span class="said ${right ? "right" : "wrong"}">${right ? "✓" : html`✗ ${label}`}<span class="unseen"> ${
        right ? "as annotated" : "is annotated"
      }</span></span>`
    }`;
    if (maps === undefined || !Object.hasOwn(attention, view)) {
      return html`
        <li>
          <div class="view">${said}</div>
        </li>
      `;
    }
    return html`<li><button type="button" class="view" data-view="${view}" aria-pressed="false"><canvas width="72" height="72" aria-hidden="true"></canvas><span>${said}<span class="unseen">. Show where it looks</span></span></button></li>`;
  });
  return html`<ul class="views">${tiles}</ul>${maps !== undefined && html`<div class="queries" role="group" hidden></div>`}`;
}
