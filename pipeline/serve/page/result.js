/** The emotion, the scores, or what was wrong. */
import { byId, element, percent } from "./dom.js";

/** Shows bars without values while a picture is read. @param {string[]} categories */
export function showBusy(categories) {
  const emotion = element("p", { class: "emotion" }, "…");
  const about = element("p", { class: "about" }, "\u00a0");
  byId("answer").replaceChildren(
    element("div", { class: "busy", "aria-hidden": "true" }, emotion, about, bars(categories.map((name) => [name]))),
  );
}

/**
 * Shows what was read.
 *
 * @param {{ reading: { emotion: string, text: string, scores: Record<string, number> }, label?: string, milliseconds?: number }} entry
 */
export function showAnswer({ reading, label, milliseconds }) {
  const { emotion, scores, text } = reading;
  const words = text.trim();
  const count = Object.keys(scores).length;
  const parts = [`${percent(scores[emotion])} among ${count} emotions`];
  if (milliseconds !== undefined) parts.push(`read in ${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`);
  byId("answer").replaceChildren(
    element("p", { class: "emotion" }, emotion),
    element("p", { class: "about" }, parts.join(" · ")),
    bars(Object.entries(scores)),
    ...notes({ emotion, words, label }),
  );
}

/** Shows why a picture was not read. */
export function showFailure({ name, error }) {
  const choose = element("button", { type: "button", class: "button", "data-choose": "" }, "Choose another picture");
  const failure = element(
    "div",
    { class: "failure", role: "alert" },
    element("p", { class: "failure-title" }, `“${name}” was not read`),
    element("p", {}, error),
    choose,
  );
  byId("answer").replaceChildren(failure);
}

function bars(entries) {
  const rows = entries.map(([name, score], i) => {
    const fill = element("span", { class: "fill" });
    fill.style.setProperty("--share", score ?? 0);
    return element(
      "li",
      { class: i === 0 && score !== undefined ? "first" : undefined },
      element("span", { class: "name" }, name),
      element("span", { class: "track", "aria-hidden": "true" }, fill),
      element("span", { class: "value" }, score === undefined ? "" : percent(score)),
    );
  });
  return element("ol", { class: "bars", "aria-label": "Scores" }, ...rows);
}

function notes({ emotion, words, label }) {
  const lines = [];
  if (words && words !== emotion) lines.push(element("p", {}, `Asked freely, the model says “${words}”.`));
  if (label) {
    const right = label === emotion;
    const mark = element("span", { class: right ? "mark right" : "mark wrong", "aria-hidden": "true" }, right ? "✓" : "✗");
    lines.push(element("p", {}, mark, ` The data set says ${label}.`));
  }
  return lines.length ? [element("div", { class: "notes" }, ...lines)] : [];
}
