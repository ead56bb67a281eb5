/** `deno task report DIR…`: one HTML file that shows a run, or compares several; figures for papers. */
import { requirePicture, writeFigures } from "../pipeline/report/figures.ts";
import { writeReport } from "../pipeline/report/html_report.ts";
import { MaspError } from "../pipeline/errors.ts";
import { numberFlag, runCommand, textFlag } from "./command.ts";

await runCommand({
  name: "report",
  gpu: false,
  args: "DIR [DIR2 …]",
  summary:
    "Makes one HTML file from the files of a run: a folder of a training or of an evaluation, or their parent. Several are compared.",
  flags: {
    out: { help: "the file (report.html in the first folder)", value: "FILE" },
    pictures: { help: "pictures of a run at most (256)", value: "N" },
    svg: { help: "figures of the first run as SVG, too, in the folder figures beside the file" },
    png: { help: "figures as PNG" },
    picture: { help: "with --svg or --png: the attention of this picture (its id or path)", value: "ID" },
    queries: { help: "with --picture: each query alone, too" },
  },
}, async (invocation) => {
  const { args, flags } = invocation;
  if (args.length === 0) throw new MaspError("Which run? deno task report DIR, such as outputs/eval or outputs/demo.");
  const pictures = numberFlag(invocation, "pictures");
  if (pictures !== undefined && !(Number.isInteger(pictures) && pictures >= 0)) {
    throw new MaspError(`--pictures is ${pictures}; expected a whole number, such as 256`);
  }
  const picture = textFlag(invocation, "picture");
  const formats = (["svg", "png"] as const).filter((format) => flags[format] === true);
  if (picture !== undefined && formats.length === 0) throw new MaspError("--picture makes a figure: add --svg or --png");
  if (picture !== undefined) await requirePicture(args[0], picture);
  const begin = performance.now();
  const { path, bytes, notices } = await writeReport(args, { out: textFlag(invocation, "out"), pictures });
  for (const notice of notices) console.log(notice);
  console.log(`Written: ${path} (${(bytes / 1e6).toFixed(1)} MB, ${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  if (formats.length === 0) return;
  const out = `${path.replace(/[^/\\]*$/, "")}figures`;
  for (const file of await writeFigures(args[0], { formats, out, picture, queries: flags.queries === true })) {
    console.log(`Written: ${file}`);
  }
});
