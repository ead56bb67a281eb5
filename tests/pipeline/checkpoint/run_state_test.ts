import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import { clearRunStates, loadLatestRunState, type RunState, savedSteps, saveRunState } from "../../../pipeline/checkpoint/run_state.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { namesIn, temporaryFolder } from "./support.ts";

const stateAt = (step: number): RunState => ({
  step,
  tensors: {
    "parameters/q": { dtype: "F32", shape: [2, 3], data: new Float32Array(6).fill(step) },
    "moments/q": { dtype: "U8", shape: [5], data: new Uint8Array(5).fill(step) },
  },
  info: { seed: 3407, order: [2, 0, 1], rate: 1e-5, note: 'ä "quoted"', nothing: null },
});

Deno.test("run state: comes back, newest first, and only the newest two are kept", async () => {
  using dir = temporaryFolder();
  const run = dir.file("outputs/run");
  assertEquals(await loadLatestRunState(run), { state: undefined, warnings: [] });
  for (const step of [0, 5, 10, 100]) {
    assertEquals(await saveRunState(run, stateAt(step)), `${run}/checkpoint-${step}.safetensors`);
    assertEquals(await loadLatestRunState(run), { state: stateAt(step), warnings: [] });
  }
  assertEquals(namesIn(run), ["checkpoint-10.safetensors", "checkpoint-100.safetensors"]);
  await saveRunState(run, stateAt(101), { keep: 1 });
  assertEquals(await savedSteps(run), [101]);
});

Deno.test("run state: a damaged file is passed over with a warning, and written anew when its step comes again", async () => {
  using dir = temporaryFolder();
  for (const step of [4, 8]) await saveRunState(dir.path, stateAt(step));
  const newest = dir.file("checkpoint-8.safetensors");
  const whole = Deno.readFileSync(newest);
  const flipped = whole.slice();
  flipped[whole.length - 3] ^= 0x10;
  for (
    const [bytes, reason] of [[whole.subarray(0, whole.length - 1), "truncated"], [flipped, "checksum"], [
      new Uint8Array(),
      "truncated",
    ]] as const
  ) {
    Deno.writeFileSync(newest, bytes);
    const { state, warnings } = await loadLatestRunState(dir.path);
    assertEquals(state, stateAt(4));
    assertEquals(warnings.length, 1);
    assertMatch(warnings[0], new RegExp(`Passed over a damaged checkpoint.*checkpoint-8.*${reason}`));
  }
  await saveRunState(dir.path, stateAt(6), { keep: 1 });
  assertEquals(await savedSteps(dir.path), [8, 6], "the state just saved is never removed for a damaged later one");
  await saveRunState(dir.path, stateAt(8));
  assertEquals((await loadLatestRunState(dir.path)).state, stateAt(8));
});

Deno.test("run state: another kind of safetensors file under its name is passed over", async () => {
  using dir = temporaryFolder();
  await writeSafetensors(dir.file("checkpoint-3.safetensors"), {});
  const { state, warnings } = await loadLatestRunState(dir.path);
  assertEquals(state, undefined);
  assertMatch(warnings[0], /no step, info and checksum/);
});

Deno.test("run state: a failed write leaves the former states, and leftovers of killed writers go", async () => {
  using dir = temporaryFolder();
  await saveRunState(dir.path, stateAt(1));
  const broken = stateAt(2);
  broken.tensors["parameters/q"].shape = [7];
  await assertRejects(() => saveRunState(dir.path, broken), MaspError, "expected 28 for F32 (7,)");
  await assertRejects(() => saveRunState(dir.path, stateAt(0.5)), MaspError, "step is 0.5");
  Deno.writeTextFileSync(dir.file(".checkpoint-2.safetensors.tmp-0123abcd"), "half");
  Deno.writeTextFileSync(dir.file(".metrics.jsonl.tmp-0123abcd"), "of another writer");
  assertEquals((await loadLatestRunState(dir.path)).state, stateAt(1));
  await saveRunState(dir.path, stateAt(3));
  assertEquals(namesIn(dir.path), [".metrics.jsonl.tmp-0123abcd", "checkpoint-1.safetensors", "checkpoint-3.safetensors"]);
});

Deno.test("run state: a new run clears the states of the former one and nothing else", async () => {
  using dir = temporaryFolder();
  await saveRunState(dir.path, stateAt(1));
  Deno.writeTextFileSync(dir.file("metrics.jsonl"), "");
  await clearRunStates(dir.path);
  assertEquals(namesIn(dir.path), ["metrics.jsonl"]);
});
