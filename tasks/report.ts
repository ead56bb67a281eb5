/** `deno task report DIR…`: one HTML file that shows a run, or compares several. */
import { writeReport } from "../pipeline/report/html_report.ts";
import { MaspError } from "../pipeline/errors.ts";
import { numberFlag, runCommand, textFlag } from "./command.ts";

await runCommand({
  name: "report",
  args: "DIR [DIR2 …]",
  summary:
    "Makes one HTML file from the files of a run: a folder of a training or of an evaluation, or their parent. Several are compared.",
  flags: {
    out: { help: "the file (report.html in the first folder)", value: "FILE" },
    pictures: { help: "pictures of a run at most (256)", value: "N" },
  },
}, async (invocation) => {
  const { args } = invocation;
  if (args.length === 0) throw new MaspError("Which run? deno task report DIR, such as outputs/eval or outputs/demo.");
  const begin = performance.now();
  const { path, bytes } = await writeReport(args, { out: textFlag(invocation, "out"), pictures: numberFlag(invocation, "pictures") });
  const seconds = (performance.now() - begin) / 1000;
  console.log(`Written: ${path} (${(bytes / 1e6).toFixed(1)} MB, ${seconds.toFixed(1)} s)`);
});
