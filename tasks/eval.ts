/** `deno task eval`: accuracy on a data set. */
import { loadSettings } from "../config/schema.ts";
import { runEvaluation } from "../pipeline/runs.ts";
import { interruptedStatus, openGpu, runCommand, textFlag } from "./command.ts";
import { withMemoryAdvice } from "./memory.ts";
import { printNotices, terminalHooks } from "./run_hooks.ts";

await runCommand({
  name: "eval",
  summary:
    "Asks about every picture of a test set and counts the right answers; writes evaluation.json, evaluation.md and predictions.jsonl.",
  flags: {
    config: { help: "settings file (config/eval.yaml)", value: "FILE" },
    baseline: { help: "plain Qwen2-VL, zero-shot: no aspects, no soft prompt" },
    plain: { help: "the soft prompt without aspect tokens" },
    scores: { help: "the probability of every category, too" },
    resume: { help: "go on with an evaluation that was interrupted" },
    details: { help: "all that a report can show: scores, aspects in words, attention maps (then: deno task report)" },
  },
  settings: "eval",
}, async (invocation) => {
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/eval.yaml", {
    stage: "eval",
    overrides: invocation.overrides,
  });
  printNotices(settings);
  await using gpu = await openGpu(settings);
  using hooks = terminalHooks("evaluation", gpu);
  const { baseline, plain, scores, details, resume } = invocation.flags;
  const options = {
    ...hooks,
    baseline: baseline === true,
    plain: plain === true,
    scores: scores === true,
    details: details === true,
    resume: resume === true,
  };
  const outcome = await withMemoryAdvice(gpu, settings, () => runEvaluation(gpu, settings, options));
  const { finished, metrics, predictions, total, files, seconds, skipped } = outcome;
  if (!finished) {
    console.log(
      `Stopped after ${predictions.length} of ${total} pictures, which are kept. ` +
        "Go on with: deno task eval --resume (and the same settings)",
    );
    Deno.exitCode = interruptedStatus();
    return;
  }
  for (const { reason } of skipped) console.log(`left out: ${reason}`);
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const { value, interval: [low, high] } = metrics.accuracy;
  console.log(`accuracy ${percent(value)} (95 %: ${percent(low)} to ${percent(high)}), ${predictions.length} pictures`);
  console.log(`macro F1 ${metrics.macroF1.toFixed(4)}, weighted F1 ${metrics.weightedF1.toFixed(4)}`);
  const pace = resume ? "" : `${(1000 * seconds / Math.max(predictions.length, 1)).toFixed(0)} ms a picture. `;
  console.log(`${pace}Written: ${files.markdown}, ${files.json}`);
});
