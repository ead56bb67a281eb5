/** `deno task download`: a checkpoint from Hugging Face. */
import { basename, join } from "@std/path";
import { downloadModel } from "../pipeline/checkpoint/download_model.ts";
import { MaspError } from "../pipeline/errors.ts";
import { interruptedStatus, interruptSignal, runCommand, textFlag } from "./command.ts";
import { Progress } from "./progress.ts";

await runCommand({
  name: "download",
  summary:
    "Downloads a Qwen2-VL checkpoint from Hugging Face into weights/, where model_name finds it. A download that was stopped goes on.\n" +
    "The variables HF_TOKEN and HF_ENDPOINT mean what they mean to Hugging Face's own programs.",
  args: "MODEL (such as Qwen/Qwen2-VL-2B-Instruct)",
  flags: {
    dir: { help: "folder for the files (weights/ and the model's name)", value: "DIR" },
    revision: { help: "branch, tag or commit (main)", value: "NAME" },
  },
  gpu: false,
}, async (invocation) => {
  const [repo, ...more] = invocation.args;
  if (!repo || more.length || !/^[\w.-]+\/[\w.-]+$/.test(repo)) {
    throw new MaspError(`Which model? Give one name, such as: deno task download Qwen/Qwen2-VL-2B-Instruct`);
  }
  const dir = textFlag(invocation, "dir") ?? join("weights", basename(repo));
  let progress: Progress | undefined;
  const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);
  const files = await downloadModel(repo, {
    dir,
    revision: textFlag(invocation, "revision"),
    hubUrl: Deno.env.get("HF_ENDPOINT"),
    accessToken: Deno.env.get("HF_TOKEN"),
    signal: interruptSignal(),
    onNotice: (text) => console.log(text),
    onProgress: (bytes, total) => (progress ??= new Progress(`${repo} MiB`, mib(total))).update(mib(bytes)),
  });
  progress?.[Symbol.dispose]();
  if (files) console.log(`${files.length} files in ${dir}. Look at it with: deno task check --model-name ${dir}`);
  else {
    console.log("Stopped; the same command goes on.");
    Deno.exitCode = interruptedStatus();
  }
});
