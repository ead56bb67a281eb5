/** Checkpoints of zeros, as files with a hole: of any size, written in no time and without room on the disk. */
import { parseConfig } from "../../../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../../../pipeline/qwen2_vl/weights.ts";
import { DEMO_MODEL } from "../stages/support.ts";

/** Writes a bf16 checkpoint of this `config.json` with the demo's tokenizer. @returns bytes of its tensors */
export async function writeSparseCheckpoint(dir: string, config: Readonly<Record<string, unknown>>): Promise<number> {
  for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.json", "preprocessor_config.json"]) {
    await Deno.copyFile(`${DEMO_MODEL}/${name}`, `${dir}/${name}`);
  }
  await Deno.writeTextFile(`${dir}/config.json`, JSON.stringify(config));
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of expectedTensors(parseConfig(config, { name: dir }))) {
    const begin = end;
    end += 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  using file = await Deno.open(`${dir}/model.safetensors`, { write: true, create: true });
  await file.write(new Uint8Array(BigUint64Array.of(BigInt(json.length)).buffer));
  for (let done = 0; done < json.length;) done += await file.write(json.subarray(done));
  await file.truncate(8 + json.length + end);
  return end;
}
