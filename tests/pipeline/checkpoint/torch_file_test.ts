import { assert, assertEquals, assertRejects } from "@std/assert";
import { writeTensorPickle } from "../../../pipeline/checkpoint/pickle_writer.ts";
import { asFloat32, bytesOf, DTYPE_BYTES, elementCount, typedArray } from "../../../pipeline/checkpoint/tensor_data.ts";
import { isTensor, readTorchFile, type TorchValue, writeTorchFile } from "../../../pipeline/checkpoint/torch_file.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";
import { randomNumbers, temporaryFolder, torchMade } from "./support.ts";

const TORCH_NAMES: Record<string, string> = {
  F32: "torch.float32",
  F16: "torch.float16",
  BF16: "torch.bfloat16",
  F64: "torch.float64",
  I64: "torch.int64",
  I32: "torch.int32",
  I16: "torch.int16",
  I8: "torch.int8",
  U8: "torch.uint8",
  BOOL: "torch.bool",
};

/** The form in which files/torch_values.py writes values as JSON. */
function flat(value: TorchValue): unknown {
  if (isTensor(value)) {
    const numbers = /16$/.test(value.dtype) && value.dtype !== "I16" ? asFloat32(value) : value.data;
    return { shape: value.shape, dtype: TORCH_NAMES[value.dtype], data: Array.from<number | bigint>(numbers).map(Number) };
  }
  if (value instanceof Map) return { dict: [...value].map(([key, item]) => [key, flat(item)]) };
  return Array.isArray(value) ? value.map(flat) : value;
}

Deno.test("torch file: every kind of tensor and value that PyTorch writes", async () => {
  const value = await readTorchFile(torchMade("torch_values.pth"));
  assertEquals(flat(value), JSON.parse(Deno.readTextFileSync(torchMade("torch_values.json"))));
});

Deno.test("torch file: what is written comes back, each tensor's bytes unchanged", async () => {
  using dir = temporaryFolder();
  for (const source of [torchMade("torch_values.pth"), `${GOLDEN_DIR}/aspect.pth`]) {
    const value = await readTorchFile(source);
    await writeTorchFile(dir.file("copy.pth"), value);
    assertEquals(await readTorchFile(dir.file("copy.pth")), value);
  }
});

Deno.test("torch file: random tensors and numbers come back", async () => {
  using dir = temporaryFolder();
  const random = randomNumbers(3);
  const dtypes = ["F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"] as const;
  const tensors = dtypes.map((dtype, i): TorchValue => {
    const shape = Array.from({ length: i % 4 }, () => Math.floor(random() * 5));
    const bytes = Uint8Array.from({ length: elementCount(shape) * DTYPE_BYTES[dtype] }, () => random() * 256);
    return { dtype, shape, data: typedArray(bytes, dtype) };
  });
  const numbers = [0, 1, -1, 255, 256, -(2 ** 31), 2 ** 31, -(2 ** 40), 2 ** 53, 0.1, -0, 1e300, Infinity];
  const twice = tensors[1];
  const value: TorchValue = new Map<string, TorchValue>([["tensors", tensors], ["numbers", numbers], ["again", twice], [
    "text",
    "ä\n\u0000€",
  ]]);
  await writeTorchFile(dir.file("a.pt"), value);
  const read = await readTorchFile(dir.file("a.pt")) as Map<string, TorchValue>;
  assertEquals(read.get("numbers"), numbers);
  for (const [i, item] of (read.get("tensors") as TorchValue[]).entries()) {
    const written = tensors[i];
    assert(isTensor(item) && isTensor(written));
    assertEquals([item.dtype, item.shape, bytesOf(item.data)], [written.dtype, written.shape, bytesOf(written.data)]);
  }
  assertEquals(read.get("again"), twice);
  assertEquals(writeTensorPickle(value).storages.length, tensors.length, "a tensor that stands twice is stored once");
  assertEquals(read.get("text"), "ä\n\u0000€");
});

Deno.test("torch file: only the part of a storage that a view needs is read", async () => {
  const value = await readTorchFile(`${GOLDEN_DIR}/soft_prompt.pt`);
  assert(value instanceof Map);
  for (const tensor of value.values()) assert(isTensor(tensor) && tensor.data.buffer.byteLength === tensor.shape[0] * 4);
});

Deno.test("torch file: names other than those of tensors are refused and never called", async () => {
  await assertRejects(
    () => readTorchFile(torchMade("os_system.pth")),
    MaspError,
    "the pickle names posix.system, expected nothing but tensors",
  );
  await assertRejects(() => readTorchFile(torchMade("module.pth")), MaspError, "the pickle names torch.nn.modules.linear.Linear");
});

Deno.test("torch file: other forms of files are named", async () => {
  using dir = temporaryFolder();
  await assertRejects(() => readTorchFile(torchMade("legacy.pth")), MaspError, "before PyTorch 1.6");
  await assertRejects(() => readTorchFile(`${GOLDEN_DIR}/cases.json`), MaspError, "it is no zip file (it begins with 7b");
  await assertRejects(() => readTorchFile(dir.file("none.pt")), MaspError, "the file is missing");
  Deno.writeFileSync(dir.file("empty.pt"), new Uint8Array());
  await assertRejects(() => readTorchFile(dir.file("empty.pt")), MaspError, "it begins with nothing");
  const { BlobWriter, TextReader, ZipWriter } = await import("@zip.js/zip.js");
  const zip = new ZipWriter(new BlobWriter(), { useWebWorkers: false });
  await zip.add("folder/readme.txt", new TextReader("hello"));
  Deno.writeFileSync(dir.file("other.zip"), new Uint8Array(await (await zip.close()).arrayBuffer()));
  await assertRejects(() => readTorchFile(dir.file("other.zip")), MaspError, "without data.pkl (it holds readme.txt)");
});

Deno.test("torch file: truncated at any place, one clear error", async () => {
  using dir = temporaryFolder();
  const whole = Deno.readFileSync(torchMade("torch_values.pth"));
  for (let size = 4; size < whole.length; size += 37) {
    Deno.writeFileSync(dir.file("cut.pt"), whole.subarray(0, size));
    const error = await assertRejects(() => readTorchFile(dir.file("cut.pt")), MaspError, "cut.pt");
    assert(error.message.includes("truncated") && error.message.includes(`${size} bytes`), error.message);
  }
});

Deno.test("torch file: a flipped byte is found by the checksum", async () => {
  using dir = temporaryFolder();
  const tensor = { dtype: "F32" as const, shape: [4], data: new Float32Array([1, 2, 3, 4]) };
  await writeTorchFile(dir.file("a.pt"), tensor);
  const bytes = Deno.readFileSync(dir.file("a.pt"));
  const data = bytesOf(tensor.data);
  const place = bytes.findIndex((_, i) => data.every((byte, j) => bytes[i + j] === byte));
  bytes[place + 3] ^= 1;
  Deno.writeFileSync(dir.file("a.pt"), bytes);
  await assertRejects(() => readTorchFile(dir.file("a.pt")), MaspError, "the checksum of data/0 is");
});

Deno.test("torch file: a tensor that cannot be written leaves the old file", async () => {
  using dir = temporaryFolder();
  await writeTorchFile(dir.file("a.pt"), "old");
  const wrong: TorchValue = { dtype: "F32", shape: [3], data: new Float32Array(2) };
  await assertRejects(() => writeTorchFile(dir.file("a.pt"), wrong), MaspError, "has 8 bytes, expected 12");
  const unsigned: TorchValue = { dtype: "U64", shape: [1], data: new BigUint64Array(1) };
  await assertRejects(() => writeTorchFile(dir.file("a.pt"), unsigned), MaspError, "type U64");
  assertEquals(await readTorchFile(dir.file("a.pt")), "old");
});
