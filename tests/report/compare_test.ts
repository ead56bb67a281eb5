/** Which runs and evaluations a report sets side by side. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ensureDir } from "@std/fs";
import { join } from "@std/path";
import { MaspError } from "../../pipeline/errors.ts";
import { requirePicture } from "../../pipeline/report/figures.ts";
import { differenceText } from "../../pipeline/report/html/result_section.ts";
import { reportHtml, writeReport } from "../../pipeline/report/html_report.ts";
import { temporaryFolder } from "../pipeline/checkpoint/support.ts";
import { runTask } from "../tasks/support.ts";
import { makeRun } from "./made_run.ts";

/** The section that compares, as text without markup. */
function comparison(html: string): string {
  const section = html.match(/<section id="comparison">[\s\S]*?<\/section>/)?.[0] ?? "";
  return section.replace(/<svg[\s\S]*?<\/svg>/g, "").replace(/<[^>]+>/g, " ").replace(/\s+/g, " ");
}

Deno.test("comparison: evaluations of other pictures or another model are groups of their own, without an average over them", async () => {
  using dir = temporaryFolder();
  const at = (name: string) => join(dir.path, name);
  await makeRun(at("a"));
  await makeRun(at("b"), { wrongEvery: 6 });
  await makeRun(at("fewer"), { pictures: 6 });
  await makeRun(at("other"), { model: "another/model" });
  await makeRun(at("apart"), { first: 300 });

  const same = comparison(await reportHtml([at("a"), at("b")]));
  assert(!/groups|pictures of both|in common/.test(same), same);
  assertMatch(same, /MASP: 79\.2 % on average over 2 runs/);

  const fewer = comparison(await reportHtml([at("a"), at("b"), at("fewer")]));
  assertMatch(fewer, /shown in 2 groups/);
  assertMatch(fewer, /12 pictures of made\/data/);
  assertMatch(fewer, /6 pictures of made\/data/);
  assertMatch(fewer, /MASP: 79\.2 % on average over 2 runs/);
  assertEquals([...fewer.matchAll(/on average/g)].length, 2, fewer); // MASP's and the base model's of the first two
  assertMatch(fewer, /fewer: MASP 83\.3 % .{0,60}\+0\.0 pts \(\+0\.0 pts to \+0\.0 pts\) on the 6 pictures of both/);

  const other = comparison(await reportHtml([at("a"), at("other")]));
  assertMatch(other, /Model made\/model.+Model another\/model/);
  assert(!/on average/.test(other), other);

  const apart = comparison(await reportHtml([at("a"), at("apart")]));
  assertMatch(apart, /12 pictures of made\/data \(selection 2\)/);
  assertMatch(apart, /no picture in common/);
});

Deno.test("comparison: rounded weights and another layout are no seeds of the same method", async () => {
  using dir = temporaryFolder();
  await makeRun(join(dir.path, "a"), { facts: { weights: "bf16" } });
  await makeRun(join(dir.path, "b"), { facts: { weights: "int4" } });
  const text = comparison(await reportHtml([join(dir.path, "a"), join(dir.path, "b")]));
  assert(!/on average/.test(text), text);
});

Deno.test("a difference within a run is of one model, and says so where the base model was asked about fewer pictures", async () => {
  using dir = temporaryFolder();
  const at = (...names: string[]) => join(dir.path, ...names);
  await makeRun(at("run"));
  await makeRun(at("fewer"), { pictures: 6 });
  await makeRun(at("other"), { model: "another/model" });
  await Deno.copyFile(at("fewer", "eval", "baseline-evaluation.json"), at("run", "eval", "baseline-evaluation.json"));
  assertMatch(await reportHtml([at("run")]), /pts, on the 6 pictures of both/);
  await Deno.copyFile(at("other", "eval", "baseline-evaluation.json"), at("run", "eval", "baseline-evaluation.json"));
  const html = await reportHtml([at("run")]);
  assertMatch(html, /cannot be compared: the base model is of the model another\/model, MASP of made\/model/);
  assert(!html.includes("McNemar"));
});

Deno.test("a folder given twice, by another path, or within another that is given, counts once", async () => {
  using dir = temporaryFolder();
  const at = (...names: string[]) => join(dir.path, ...names);
  await makeRun(at("a"));
  await makeRun(at("b"));
  await Deno.symlink(at("a"), at("link"));
  const { notices } = await writeReport([at("a"), `${at("a")}/../a/`, at("link"), at("a", "eval")]);
  assertEquals(notices.length, 3);
  assertMatch(notices[0], /is the same folder as ".+a"; it is taken once/);
  assertMatch(notices[2], /is a part of the run/);
  const html = await Deno.readTextFile(at("a", "report.html"));
  assert(!html.includes("<h2>Comparison</h2>"));
  assertMatch(html, /class="notice">.+is the same folder as/);
  assertMatch(comparison(await reportHtml([at("a"), at("b"), at("a")])), /MASP: 75\.0 % on average over 2 runs/);
});

Deno.test("runs that were set aside are left out, unless their folder is given", async () => {
  using dir = temporaryFolder();
  const at = (...names: string[]) => join(dir.path, ...names);
  await makeRun(at("run"));
  for (const name of ["previous", "previous-1", "previous-12"]) {
    await ensureDir(at("run", "stage1", name));
    for (const file of ["metrics.jsonl", "settings.yaml"]) await Deno.copyFile(at("run", "stage1", file), at("run", "stage1", name, file));
  }
  const curves = (html: string) => [...html.matchAll(/<summary>Stage 1<\/summary>|previous/g)].map(String);
  assertEquals(curves(await reportHtml([at("run", "stage1")])), ["<summary>Stage 1</summary>"]);
  assertMatch(await reportHtml([at("run", "stage1", "previous-1")]), /<h1>Run previous-1<\/h1>/);
  const both = await reportHtml([at("run", "stage1"), at("run", "stage1", "previous")]);
  assertMatch(both, /<h1>stage1, previous compared<\/h1>/);
});

Deno.test("every fact of an evaluation is told, whatever it is", async () => {
  using dir = temporaryFolder();
  await makeRun(dir.path, { facts: { layout: "code", rounds: 3, "tensor cores": false, tried: ["int8", "int4"], sizes: { tokens: 5 } } });
  const html = await reportHtml([dir.path]);
  const facts = [...html.matchAll(/<dt>([^<]+)<\/dt>\s*<dd>([^<]*)<\/dd>/g)].map(([, name, value]) => `${name}: ${value}`);
  for (const fact of ["layout: code", "rounds: 3", "tensor cores: false", "tried: int8, int4", "sizes: {&quot;tokens&quot;:5}"]) {
    assert(facts.includes(fact), `${fact} is not among ${facts.join("; ")}`);
  }
});

Deno.test("report --picture: a wrong name is told before anything is written, with the nearest ones", async () => {
  using dir = temporaryFolder();
  await makeRun(dir.path);
  const { message } = await assertRejects(() => requirePicture(dir.path, "pictur_11"), MaspError);
  assertMatch(message, /no picture "pictur_11".+nearest of its 12 pictures: picture_11, picture_\d, picture_\d/);
  await requirePicture(dir.path, "gone/picture_3.png");
  const { code, stdout, stderr } = await runTask("report", [dir.path, "--svg", "--picture", "gone/picture_99.png"]);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /picture_9/);
  const left = await Array.fromAsync(Deno.readDir(dir.path), ({ name }) => name);
  assert(!left.includes("report.html") && !left.includes("figures"), left.join(", "));
});

Deno.test("a verdict asks the interval and the exact test: both must rule chance out", () => {
  const difference = { total: 40, gained: 2, lost: 9, difference: -0.175, interval: [-0.325, -0.025] as [number, number], p: 0.065 };
  const names = { first: "the base model", second: "MASP" };
  assertMatch(differenceText(difference, names), /^No clear difference between MASP and the base model: the exact test does not/);
  assertMatch(differenceText({ ...difference, p: 0.01 }, names), /^The base model is better than MASP/);
  assertMatch(differenceText({ ...difference, interval: [-0.3, 0.1] }, names), /^No clear difference.+contains 0/);
});
