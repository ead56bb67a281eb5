/** With what a run was made. */
import { plainName } from "../charts/chart.ts";
import type { EvaluationPart, RunFolder, TrainingPart } from "../run_folder.ts";
import { type Html, html } from "./html.ts";
import { methodName } from "./result_section.ts";

/** Settings, versions, adapter and seed of every part of a run. */
export function aboutSection(run: RunFolder, id: string): Html {
  const parts = [
    ...run.trainings.map((part) => aboutPart(part.stage.replace(/^stage/, "Stage "), part)),
    ...run.evaluations.map((part) => aboutPart(`Evaluation: ${methodName(part)}`, part, part.report.facts)),
  ];
  const skipped = run.evaluations[0]?.report.skipped ?? [];
  return html`<section id="${id}">
<h2>How it was made</h2>
${parts}
${
    skipped.length > 0 && html`
      <details>
        <summary>${skipped.length} pictures were left out</summary>
        <ul>${skipped.map((reason) => html`<li>${reason}</li>`)}</ul>
      </details>
    `
  }
</section>`;
}

function aboutPart(title: string, part: TrainingPart | EvaluationPart, facts: Readonly<Record<string, unknown>> = {}): Html {
  const { versions = {}, ...info } = part.info ?? {} as Partial<NonNullable<typeof part.info>>;
  const rows = Object.entries({ ...info, ...facts, folder: part.folder || "." }).map(([name, value]) => [name, factText(value)]);
  const known = Object.entries(versions);
  return html`<details class="about"><summary>${title}</summary>
<dl>${
    rows.map(([name, value]) =>
      value && html`
        <div>
          <dt>${plainName(name)}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }
${
    known.length > 0 && html`
      <div>
        <dt>versions</dt>
        <dd>${known.map(([name, version]) => `${name} ${version}`).join(", ")}</dd>
      </div>
    `
  }</dl>
${part.settings && html`<pre tabindex="0">${part.settings.trim()}</pre>`}
</details>`;
}

/** A fact in words, whatever it is: lists are told one after the other, objects as JSON; empty when there is nothing to tell. */
function factText(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map(factText).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
