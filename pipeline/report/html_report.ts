/** The report: one HTML file from the files of one or several runs. */
import { join } from "@std/path";
import { writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { mapParallel } from "../data/map_parallel.ts";
import { MaspError } from "../errors.ts";
import { distinctFolders } from "./given_folders.ts";
import { aboutSection } from "./html/about_section.ts";
import { aspectsSection } from "./html/aspects_section.ts";
import { categoriesSection } from "./html/categories_section.ts";
import { compareSection } from "./html/compare_section.ts";
import { chosen, gallerySection } from "./html/gallery_section.ts";
import { type Html, html } from "./html/html.ts";
import { page, type PageContent } from "./html/page.ts";
import { resultSection } from "./html/result_section.ts";
import { trainingSection } from "./html/training_section.ts";
import type { PictureLine } from "./picture_log.ts";
import { readRunFolder, type RunFolder } from "./run_folder.ts";
import { thumbnailOf } from "./thumbnail.ts";

/** Options of {@linkcode reportHtml} and {@linkcode writeReport}. */
export interface ReportOptions {
  /** Pictures of each run's gallery at most; 256 when left out. */
  pictures?: number;
}

/** Options of {@linkcode writeReport}. */
export interface WriteReportOptions extends ReportOptions {
  /** The file; `report.html` in the first folder when left out. */
  out?: string;
}

/** Result of {@linkcode writeReport}. */
export interface WrittenReport {
  /** The file. */
  path: string;
  /** Its size. */
  bytes: number;
  /** What was left out, a sentence each. */
  notices: string[];
}

/**
 * Makes a report from the files of runs and writes it.
 *
 * @param dirs folders of runs: of a training, of an evaluation, or their parent; several are compared
 * @param options where it goes, and how many pictures it shows
 * @returns path and size in bytes of the file, and what was left out, a sentence each
 * @throws {MaspError} when a folder is missing or holds nothing of a run, or a file is damaged
 */
export async function writeReport(dirs: readonly string[], options: WriteReportOptions = {}): Promise<WrittenReport> {
  const path = options.out ?? join(dirs[0] ?? ".", "report.html");
  const { html, notices } = await makeReport(dirs, options);
  const bytes = new TextEncoder().encode(html);
  await writeFileAtomic(path, bytes);
  return { path, bytes: bytes.length, notices };
}

/** Like {@linkcode writeReport}, as text. */
export async function reportHtml(dirs: readonly string[], options: ReportOptions = {}): Promise<string> {
  return (await makeReport(dirs, options)).html;
}

async function makeReport(given: readonly string[], options: ReportOptions): Promise<{ html: string; notices: string[] }> {
  if (given.length === 0) throw new MaspError("Which run? Give its folder, such as outputs/eval.");
  const { dirs, notices } = await distinctFolders(given);
  const runs = distinctNames(await Promise.all(dirs.map(readRunFolder)));
  const body: Html[] = notices.map((text) => html`<p class="notice">${text}</p>`);
  const links: PageContent["links"][number][] = [];
  const add = (id: string, name: string, section: Html | undefined) => {
    if (!section) return;
    body.push(section);
    links.push({ id, name });
  };
  if (runs.length > 1) {
    add("comparison", "Comparison", await compareSection(runs, "comparison"));
    const trainings = runs.flatMap((run) => run.trainings.map((training) => ({ run: run.name, training })));
    add("training", "Training", await trainingSection(trainings, "training"));
  }
  for (const [i, run] of runs.entries()) {
    const single = runs.length === 1;
    const id = (name: string) => single ? name : `${name}-${i + 1}`;
    const entry = (name: string) => single ? name : `${run.name}: ${name.toLowerCase()}`;
    if (!single) {
      body.push(html`
        <section class="run">
          <h2>Run ${run.name}</h2>
        </section>
      `);
    }
    add(id("result"), entry("Result"), await resultSection(run, id("result")));
    const trainings = run.trainings.map((training) => ({ run: run.name, training }));
    if (single) add("training", "Training", await trainingSection(trainings, "training"));
    const [main] = run.evaluations;
    if (main) {
      add(id("categories"), entry("Categories"), await categoriesSection(main, id("categories")));
      add(id("aspects"), entry("Aspects"), await aspectsSection(main, id("aspects")));
      const pictures = options.pictures ?? 256;
      const thumbnails = await missingThumbnails(run, pictures);
      add(id("pictures"), entry("Pictures"), gallerySection(run, id("pictures"), { pictures, thumbnails }));
    }
    add(id("about"), single ? "How it was made" : `${run.name}: how it was made`, aboutSection(run, id("about")));
  }
  return { html: page({ ...headOf(runs), links, body }), notices };
}

function headOf(runs: readonly RunFolder[]): { title: string; facts: string[] } {
  const evaluations = runs.flatMap((run) => run.evaluations);
  const parts = [...evaluations, ...runs.flatMap((run) => run.trainings)];
  const known = (
    values: unknown[],
  ) => [...new Set(values.filter((value) => typeof value === "string" || typeof value === "number").map(String))];
  const names = known(evaluations.map(({ report }) => report.facts["data set"]));
  const dates = known(parts.map(({ info }) => info?.written?.slice(0, 10))).sort();
  const seeds = known(parts.map(({ info }) => info?.seed));
  const title = runs.length > 1
    ? `${runs.map(({ name }) => name).join(", ")} compared`
    : names.length > 0
    ? `Emotions in ${names.join(", ")}`
    : `Run ${runs[0].name}`;
  const facts = [
    ...(runs.length === 1 ? [`run ${runs[0].name}`] : []),
    ...known([...evaluations.map(({ report }) => report.facts.model), ...parts.map(({ info }) => info?.model)]).map((model) =>
      `model ${model}`
    ),
    ...known([...evaluations.map(({ report }) => report.facts.adapter), ...parts.map(({ info }) => info?.adapter)]),
    ...(seeds.length > 0 ? [`seed ${seeds.join(", ")}`] : []),
    ...(dates.length > 0 ? [dates.length > 1 ? `${dates[0]} to ${dates.at(-1)}` : dates[0]] : []),
  ];
  return { title, facts };
}

/** Folders of the same name get their path. */
function distinctNames(runs: RunFolder[]): RunFolder[] {
  const names = Map.groupBy(runs, ({ name }) => name);
  return runs.map((run) => names.get(run.name)!.length > 1 ? { ...run, name: run.path.replace(/^\.\/|\/$/g, "") } : run);
}

/** Thumbnails of the gallery's pictures that the run folder has none of, from the pictures where they still are. */
async function missingThumbnails(run: RunFolder, most: number): Promise<Map<string, PictureLine["thumbnail"]>> {
  const [{ report, pictures }] = run.evaluations;
  const missing = chosen(report.predictions, most).map(({ image }) => image).filter((image) => !pictures.get(image)?.thumbnail);
  const made = await mapParallel(missing, async (image) => {
    try {
      return [image, await thumbnailOf(image)] as const;
    } catch (error) {
      if (error instanceof MaspError) return [image, undefined] as const;
      throw error;
    }
  });
  return new Map(made);
}
