/** Stage 1 in a process of its own, to be killed: `run_child.ts FLAGS resume|anew`, flags as JSON. */
import { requestGpu } from "../../../kernels/gpu.ts";
import { runStage1 } from "../../../pipeline/runs.ts";
import { runSettings } from "./run_settings.ts";
import "../../set_up.ts";

const [flags, how] = Deno.args;
await using gpu = await requestGpu({ precision: "f32" }); // as `demoGpu` is
await runStage1(gpu, await runSettings("stage1", JSON.parse(flags)), { resume: how === "resume" });
