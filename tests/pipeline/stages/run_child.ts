/** A training run in a process of its own, to be killed: `run_child.ts STAGE FLAGS RESUME`, flags as JSON. */
import { requestGpu } from "../../../kernels/gpu.ts";
import { runStage1, runStage2 } from "../../../pipeline/runs.ts";
import { runSettings } from "./run_settings.ts";

const [stage, flags, resume] = Deno.args;
await using gpu = await requestGpu();
const options = { resume: resume === "resume" };
if (stage === "stage1") await runStage1(gpu, await runSettings("stage1", JSON.parse(flags)), options);
else await runStage2(gpu, await runSettings("stage2", JSON.parse(flags)), options);
