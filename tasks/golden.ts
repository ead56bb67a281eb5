/** `deno task golden [DIR]`: does this GPU compute the right thing? */
import { fromFileUrl } from "@std/path";
import { isWeightType, WEIGHT_TYPES } from "../kernels/linear/weight_types.ts";
import { takesHalf } from "../kernels/linear/takes_half.ts";
import { MaspError } from "../pipeline/errors.ts";
import { checkGolden } from "../pipeline/golden_check.ts";
import { gpuFlags, openGpu, runCommand, textFlag } from "./command.ts";

const BUILT_IN = fromFileUrl(new URL("../tests/golden", import.meta.url));

await runCommand({
  name: "golden",
  args: "[DIR]",
  summary: "Compares this machine with the values that PyTorch computed for a tiny model (tests/golden, or any folder in its format).",
  flags: { weights: { help: "number type of the matrices; tolerances follow it (f32)", value: "f32|f16|bf16|int8|int4" } },
}, async (invocation) => {
  const weights = textFlag(invocation, "weights") ?? "f32";
  if (!isWeightType(weights)) throw new MaspError(`--weights is "${weights}"; expected ${WEIGHT_TYPES.join(", ")}`);
  const [dir = BUILT_IN, ...more] = invocation.args;
  if (more.length) {
    throw new MaspError(`deno task golden takes one folder, but ${more.map((arg) => `"${arg}"`).join(", ")} follows; run it once for each`);
  }
  await using gpu = await openGpu(gpuFlags(invocation));
  if (takesHalf(gpu, { dtype: weights })) {
    console.log("Products with these weights round their factors to f16 (--precision f32 turns that off).");
  }
  const begin = performance.now();
  let passed = 0;
  let failed = 0;
  for await (const row of checkGolden(gpu, dir, { weights })) {
    if (passed + failed === 0) {
      console.log(`${"case".padEnd(13)} ${"values".padEnd(16)} ${"count".padStart(5)} ${"error".padStart(9)} ${"allowed".padStart(9)}`);
    }
    const error = row.tolerance === 0 ? `${row.error} differ` : row.error.toExponential(1);
    const allowed = row.tolerance === 0 ? "equal" : row.tolerance.toExponential(0);
    const verdict = row.passed ? "passed" : `FAILED (${row.worst})`;
    console.log(
      `${row.case.padEnd(13)} ${row.group.padEnd(16)} ${String(row.count).padStart(5)} ${error.padStart(9)} ${
        allowed.padStart(9)
      }  ${verdict}`,
    );
    if (row.passed) passed++;
    else failed++;
  }
  console.log(`${((performance.now() - begin) / 1000).toFixed(1)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  if (failed) Deno.exitCode = 1;
});
