import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../../pipeline/errors.ts";
import { emotionMetrics } from "../../../pipeline/report/metrics.ts";
import { evaluationMarkdown, type EvaluationReport, writeEvaluationReport } from "../../../pipeline/report/report_files.ts";
import { withFolder } from "../data/support.ts";

const answers: [label: string, text: string][] = [["joy", "Joy"], ["joy", "fear"], ["fear", "fear"], ["fear", "a | `dog`\nhere"], [
  "fear",
  "",
]];
const predictions = answers.map(([label, text], i) => {
  const prediction = text.toLowerCase().split("\n")[0];
  return { image: `data/${i}.png`, id: `${label}_${i}`, label, text, prediction, correct: prediction === label };
});
const metrics = emotionMetrics(predictions, { categories: ["joy", "fear"] });
const report: EvaluationReport = { facts: { model: "tiny|model", seed: 1, soft_prompt: undefined }, metrics, predictions };

Deno.test("evaluationMarkdown: result, categories, confusion and wrong answers", () => {
  const page = evaluationMarkdown(report);
  for (
    const part of [
      "| model | tiny\\|model |",
      "| accuracy | 40.0 % (2 of 5; 95 %: 11.8 to 76.9) |",
      "| answers that are no category | 2 (40.0 %) |",
      "| macro F1 | 0.533 |",
      "| joy | 2 | 1 | 100.0 % | 50.0 % | 0.667 |",
      "| label | joy | fear | other |",
      "| fear | 0 | 1 | 2 |",
      '- joy\\_1: `"fear"` for joy',
      '- `` "a | `dog`" ``: 1',
      '- `""`: 1',
      "| positive pictures | 50.0 % (1 of 2",
    ]
  ) assertStringIncludes(page, part);
  assert(!page.includes("soft_prompt"), "facts without a value are left out");
  assert(!page.includes("before training") && !page.includes("left out"));
  assertEquals(page.match(/\n{3,}/), null);
});

Deno.test("evaluationMarkdown: every row of a table has the columns of its header", () => {
  const page = evaluationMarkdown({ ...report, baseline: emotionMetrics([], { categories: ["joy", "fear"] }), skipped: ["bad.png"] });
  const columns = (line: string) => line.replaceAll("\\|", "").split("|").length;
  let header: number | undefined;
  for (const line of page.split("\n")) {
    if (!line.startsWith("|")) header = undefined;
    else assertEquals(columns(line), header ??= columns(line), line);
  }
  assertStringIncludes(page, "before training");
  assertStringIncludes(page, '- `"bad.png"`');
});

Deno.test("evaluationMarkdown: nothing wrong, nothing evaluated, many wrong answers", () => {
  const right = predictions.filter(({ correct }) => correct);
  const page = evaluationMarkdown({ facts: {}, metrics: emotionMetrics(right, { categories: ["joy", "fear"] }), predictions: right });
  assert(!page.includes("Wrong answers") && !page.includes("## Answers that are no category"));
  assertStringIncludes(
    evaluationMarkdown({ facts: {}, metrics: emotionMetrics([], { categories: ["joy"] }), predictions: [] }),
    "0 pictures",
  );
  const many = Array.from({ length: 30 }, (_, i) => ({ ...predictions[1], id: `p${i}` }));
  const long = evaluationMarkdown({ facts: {}, metrics: emotionMetrics(many, { categories: ["joy", "fear"] }), predictions: many });
  assertStringIncludes(long, "The first 20 of 30.");
  assert(long.includes("- p19:") && !long.includes("- p20:"));
});

Deno.test("writeEvaluationReport: JSON holds everything, Markdown and a line per prediction beside it, nothing else", async () => {
  await withFolder({}, async (root) => {
    const dir = join(root, "new", "folder");
    const paths = await writeEvaluationReport(dir, report);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["evaluation.json", "evaluation.md", "predictions.jsonl"]);
    assertEquals(JSON.parse(await Deno.readTextFile(paths.json)), JSON.parse(JSON.stringify(report)));
    assertEquals(await Deno.readTextFile(paths.markdown), evaluationMarkdown(report));
    const lines = (await Deno.readTextFile(paths.predictions)).trimEnd().split("\n");
    assertEquals(lines.map((line) => JSON.parse(line)), predictions);
    assertEquals((await writeEvaluationReport(dir, report, { name: "baseline" })).json, join(dir, "baseline.json"));
    const before = await writeEvaluationReport(dir, { ...report, predictions: [] }, { name: "baseline-evaluation" });
    assertEquals(before.predictions, join(dir, "baseline-predictions.jsonl"));
    assertEquals(await Deno.readTextFile(before.predictions), "");
  });
});

Deno.test("writeEvaluationReport: a folder that cannot be made is an error that names it", async () => {
  await withFolder({ "file": "" }, async (root) => {
    await assertRejects(() => writeEvaluationReport(join(root, "file", "sub"), report), MaspError, "evaluation.json");
  });
});
