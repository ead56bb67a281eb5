/** What training and evaluation runs show on the terminal. */
import type { CommonSettings } from "../config/schema_settings.ts";
import type { Gpu } from "../kernels/gpu.ts";
import type { RunHooks } from "../pipeline/runs.ts";
import { interruptSignal } from "./command.ts";
import { Progress } from "./progress.ts";

/**
 * Hooks that show progress; dispose of them at the end of the run.
 *
 * @param label what goes on
 * @param gpu whose memory is shown
 */
export function terminalHooks(label: string, gpu: Gpu): RunHooks & Disposable {
  let checking: Progress | undefined;
  let loading: Progress | undefined;
  let work: Progress | undefined;
  const memory = () => `GPU ${bytesText(gpu.counters.bytes)}`;
  const end = (progress?: Progress) => progress?.[Symbol.dispose]();
  const begin = (total: number) => {
    end(checking);
    end(loading);
    checking = loading = undefined;
    return work ??= new Progress(label, total);
  };
  return {
    onCheck: (done, total) => {
      (checking ??= new Progress("pictures looked at", total)).update(done);
      if (done === total) end(checking);
    },
    onLoad: (bytes, total) => (loading ??= new Progress("loading MiB", Math.ceil(total / 2 ** 20))).update(Math.ceil(bytes / 2 ** 20)),
    onNotice: (text) => console.log(text),
    onStep: ({ step, totalSteps, loss, learningRate }) => {
      begin(totalSteps).update(step + 1, `loss ${loss.toFixed(3)} rate ${learningRate.toExponential(1)} ${memory()}`);
    },
    onPrediction: (_, { done, total, right }) => {
      begin(total).update(done, `${(100 * right / done).toFixed(1)} % right ${memory()}`);
    },
    onPicture: (done, total) => begin(total).update(done, memory()),
    signal: interruptSignal(),
    [Symbol.dispose]: () => {
      end(checking);
      end(loading);
      end(work);
    },
  };
}

function bytesText(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/**
 * One notice about keys that have no meaning here, and what else the settings have to say.
 *
 * @param told lines that were printed before and are not printed again
 */
export function printNotices(settings: CommonSettings, told: Set<string> = new Set()): void {
  if (settings.ignored.length) printOnce(`Without meaning here, and ignored: ${settings.ignored.join(", ")}`, told);
  for (const notice of settings.notices) printOnce(notice, told);
}

/** Prints a line unless it was. */
export function printOnce(text: string, told: Set<string>): void {
  if (!told.has(text)) console.log(text);
  told.add(text);
}
