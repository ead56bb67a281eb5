/** The report and the figures of runs whose numbers are known. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import sharp from "sharp";
import { MaspError } from "../../pipeline/errors.ts";
import { unpackMap } from "../../pipeline/report/attention_file.ts";
import { calibration } from "../../pipeline/report/calibration.ts";
import { writeFigures } from "../../pipeline/report/figures.ts";
import { reportHtml, writeReport } from "../../pipeline/report/html_report.ts";
import { exactMcNemar, pairedDifference } from "../../pipeline/report/paired_difference.ts";
import { temporaryFolder } from "../pipeline/checkpoint/support.ts";
import { CATEGORIES, makeRun, VIEWS } from "./made_run.ts";

/** Text of the elements that a pattern finds. */
function all(html: string, pattern: RegExp): string[] {
  return [...html.matchAll(pattern)].map(([, text]) => text);
}

Deno.test("report: the numbers of the run, a card with six maps for each picture, nothing from elsewhere", async () => {
  using dir = temporaryFolder();
  await makeRun(dir.path);
  const { path, bytes } = await writeReport([dir.path]);
  assertEquals(path, join(dir.path, "report.html"));
  const html = await Deno.readTextFile(path);
  assertEquals(new TextEncoder().encode(html).length, bytes);
  assertMatch(html, /MASP[\s\S]{0,120}75\.0 %/); // every fourth of twelve is wrong
  assertMatch(html, /Base model[\s\S]{0,120}66\.7 %/); // every third
  assertMatch(html, /\+8\.3 pts/);
  assertEquals(all(html, /<article class="card" data-right="(true|false)"/g).filter((right) => right === "true").length, 9);
  assertEquals(all(html, /<button type="button" class="view" data-view="(\w+)"/g).length, 12 * VIEWS.length);
  assertEquals(all(html, /<script type="application\/json" class="maps">(.+?)<\/script>/g).length, 1);
  for (
    const title of ["Answers by label", "Recall, precision and F1 of each category", "Reliability of the probabilities", "Loss, stage 1"]
  ) {
    assert(html.includes(title), title);
  }
  for (const figure of html.split("<figure").slice(1)) assertMatch(figure, /<svg[\s\S]+<table/, "a chart without its numbers");
  assertEquals(all(html, /(?:src|href)="(?!data:|#)([^"]*)"/g), []);
  assert(!/@import|url\((?!["']?data:)/.test(html), "a style that fetches");
  assert(!html.includes("<b>fun</b>") && html.includes("joy &amp; &lt;b&gt;fun&lt;/b&gt;"), "a label became markup");
  assertEquals(await reportHtml([dir.path]), html, "made again from the same files, it differs");
});

Deno.test("report: maps of a picture are those that were measured", async () => {
  using dir = temporaryFolder();
  await makeRun(dir.path);
  const html = await reportHtml([dir.path]);
  const { pictures } = JSON.parse(all(html, /<script type="application\/json" class="maps">(.+?)<\/script>/g)[0]);
  const index = Number(html.match(/data-maps="(\d+)"[\s\S]{0,200}alt="Picture picture_5,/)?.[1]);
  const map = unpackMap("scene", pictures[index].scene);
  assertEquals([map.rows, map.columns, map.queries.length], [6, 8, 5]);
  map.queries.forEach((query, q) => assertEquals(query.indexOf(Math.max(...query)), (7 * (5 + 2) + 11 * q) % 48));
  map.queries.forEach((query) => assertAlmostEquals(query.reduce((a, b) => a + b, 0), 1, 0.1));
});

Deno.test("report: several runs side by side; runs without an evaluation, or with fewer pictures than there are", async () => {
  using dir = temporaryFolder();
  await makeRun(join(dir.path, "first"));
  await makeRun(join(dir.path, "second"), { wrongEvery: 6 });
  const html = await reportHtml([join(dir.path, "first"), join(dir.path, "second")]);
  assertMatch(html, /<h2>Comparison<\/h2>/);
  for (const text of ["first: MASP", "second: MASP", "second: Base model"]) assert(html.includes(text), text);
  assertMatch(html, /MASP: 79\.2 % on average over 2 runs, standard deviation 5\.9 points/);
  const few = await reportHtml([join(dir.path, "first")], { pictures: 4 });
  assertEquals(all(few, /<article class="card" data-right="(true|false)"/g).toSorted(), ["false", "false", "true", "true"]);
  const training = await reportHtml([join(dir.path, "first", "stage1")]);
  assert(training.includes("Loss") && !training.includes("Answers by label"));
});

Deno.test("report: folders without a run, and damaged files, are named", async () => {
  using dir = temporaryFolder();
  await assertRejects(() => reportHtml([dir.file("none")]), MaspError, "there is no folder");
  await assertRejects(() => reportHtml([dir.path]), MaspError, "has no metrics.jsonl and no evaluation.json");
  await makeRun(dir.path);
  const path = join(dir.path, "eval", "evaluation.json");
  await Deno.writeTextFile(path, (await Deno.readTextFile(path)).slice(0, 500));
  await assertRejects(() => reportHtml([dir.path]), MaspError, "evaluation.json");
});

Deno.test("figures: SVG and PNG of every chart and of one picture's attention", async () => {
  using dir = temporaryFolder();
  const [, id] = await makeRun(dir.path);
  const files = await writeFigures(dir.path, { formats: ["svg", "png"], picture: id, queries: true });
  const names = files.map((file) => file.slice(dir.path.length + 1)).sort();
  for (const name of ["confusion", "categories", "reliability", "aspects", "stage1-loss", "stage2-gradient_norm", `attention-${id}`]) {
    assert(names.includes(`figures/${name}.svg`) && names.includes(`figures/${name}.png`), `${name} is not among ${names}`);
  }
  for (const file of files) {
    const bytes = await Deno.readFile(file);
    const { format, width = 0, height = 0 } = await sharp(bytes).metadata();
    assertEquals(format, file.endsWith(".svg") ? "svg" : "png");
    const { channels } = await sharp(bytes).flatten({ background: "white" }).stats();
    assert(Math.max(...channels.map(({ stdev }) => stdev)) > 2, `${file} is empty`);
    if (format === "png") assert(width >= 600 && height >= 200, `${file}: ${width} × ${height}`);
  }
  await assertRejects(() => writeFigures(dir.path, { formats: ["svg"], picture: "picture_99" }), MaspError, "picture_99");
});

Deno.test("calibration and the comparison of two models are those of their formulas", () => {
  const scores = (probability: number) => ({ awe: probability, fear: 1 - probability });
  const rows = [
    { label: "awe", scores: scores(0.9) },
    { label: "fear", scores: scores(0.94) },
    { label: "awe", scores: scores(0.62) },
    { label: "fear", scores: scores(0.35) },
    { label: CATEGORIES[0] },
  ];
  const { total, bins, ece, accuracy, confidence } = calibration(rows)!;
  assertEquals([total, accuracy], [4, 0.75]);
  assertAlmostEquals(confidence, (0.9 + 0.94 + 0.62 + 0.65) / 4, 1e-12);
  assertEquals(bins.map(({ count, accuracy }) => [count, accuracy]), [[2, 1], [2, 0.5]]);
  assertAlmostEquals(ece, (2 * Math.abs(0.635 - 1) + 2 * Math.abs(0.92 - 0.5)) / 4, 1e-12);
  assertAlmostEquals(exactMcNemar(16, 8), 0.15158963, 1e-7); // scipy.stats.binomtest(8, 24)
  assertEquals(exactMcNemar(0, 0), 1);
  const answers = (right: (i: number) => boolean) => new Map(Array.from({ length: 200 }, (_, i) => [`${i}`, right(i)]));
  const { gained, lost, difference, interval: [low, high] } = pairedDifference(answers((i) => i % 2 === 0), answers((i) => i % 4 !== 1))!;
  assertEquals([gained, lost, difference], [50, 0, 0.25]);
  const normal = 1.96 * Math.sqrt(0.25 * 0.75 / 200);
  assertAlmostEquals(low, 0.25 - normal, 0.015);
  assertAlmostEquals(high, 0.25 + normal, 0.015);
});
