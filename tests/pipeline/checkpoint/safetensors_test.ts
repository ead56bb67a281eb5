import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { openSafetensors, writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import {
  bytesOf,
  DTYPE_BYTES,
  elementCount,
  type TensorData,
  type TensorDtype,
  typedArray,
} from "../../../pipeline/checkpoint/tensor_data.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR, goldenTensors } from "../../golden_reader.ts";
import { randomNumbers, temporaryFolder } from "./support.ts";

/** Writes a file with a header of the test's choice, followed by `dataBytes` bytes. */
function craft(path: string, header: unknown, dataBytes: number): void {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  Deno.writeFileSync(path, bytes);
}

const random = randomNumbers(7);
const below = (n: number) => Math.floor(random() * n);
function randomTensor(): TensorData {
  const dtypes = Object.keys(DTYPE_BYTES) as TensorDtype[];
  const dtype = dtypes[below(dtypes.length)];
  const shape = Array.from({ length: below(4) }, () => below(6));
  const bytes = Uint8Array.from({ length: elementCount(shape) * DTYPE_BYTES[dtype] }, () => below(256));
  return { dtype, shape, data: typedArray(bytes, dtype) };
}

Deno.test("safetensors: random tensors and metadata come back, aligned", async () => {
  using dir = temporaryFolder();
  for (let round = 0; round < 20; round++) {
    const tensors = Object.fromEntries(Array.from({ length: below(8) }, (_, i) => [`t${i}.ä "q"`, randomTensor()]));
    const path = dir.file(`${round}.safetensors`);
    await writeSafetensors(path, tensors, { metadata: { round: String(round) } });
    using file = openSafetensors(path);
    assertEquals(file.metadata, { round: String(round) });
    assertEquals([...file.tensors.keys()].sort(), Object.keys(tensors).sort());
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      const entry = file.tensors.get(name)!;
      assertEquals([entry.dtype, entry.shape, entry.begin % DTYPE_BYTES[dtype]], [dtype, shape, 0]);
      assertEquals(file.read(name), bytesOf(data));
      assertEquals(file.readTensor(name).data.constructor, data.constructor);
    }
  }
});

Deno.test("safetensors: reads the golden tensors as the golden reader does", () => {
  const golden = goldenTensors();
  using file = openSafetensors(`${GOLDEN_DIR}/tensors.safetensors`);
  assertEquals([...file.tensors.keys()].sort(), golden.names());
  for (const name of golden.names("stage")) assertEquals(file.read(name), bytesOf(golden.get(name).data as TensorData["data"]), name);
});

Deno.test("safetensors: chunks cover a tensor in one reused buffer", async () => {
  using dir = temporaryFolder();
  const data = Float32Array.from({ length: 1003 }, () => random());
  await writeSafetensors(dir.file("a.safetensors"), { a: { dtype: "F32", shape: [1003], data } });
  using file = openSafetensors(dir.file("a.safetensors"));
  for (const chunkBytes of [1, 16, 100, 4012, 1 << 20]) {
    const parts: number[] = [];
    const buffers = new Set<ArrayBufferLike>();
    for (const chunk of file.chunks("a", { chunkBytes })) {
      assert(chunk.length <= Math.max(16, chunkBytes) && chunk.length > 0);
      buffers.add(chunk.buffer);
      parts.push(...chunk);
    }
    assertEquals(parts.length, 4012);
    assertEquals(new Uint8Array(parts), bytesOf(data));
    assertEquals(buffers.size, 1);
  }
});

Deno.test("safetensors: the buffer is kept for the next tensor, but two readers at once do not share it", async () => {
  using dir = temporaryFolder();
  const tensor = (value: number): TensorData => ({ dtype: "U8", shape: [64], data: new Uint8Array(64).fill(value) });
  await writeSafetensors(dir.file("a.safetensors"), { a: tensor(1), b: tensor(2) });
  using file = openSafetensors(dir.file("a.safetensors"));
  const buffers = ["a", "b"].map((name) => [...file.chunks(name)][0].buffer);
  assertStrictEquals(buffers[0], buffers[1]);
  const a = file.chunks("a", { chunkBytes: 32 });
  const b = file.chunks("b", { chunkBytes: 32 });
  const [first, other] = [a.next().value!, b.next().value!];
  assertEquals([first[0], other[0]], [1, 2]);
  assertEquals([a.next().value![31], b.next().value![31]], [1, 2]);
});

Deno.test("safetensors: truncated files name the file, the bytes found and the bytes expected", async () => {
  using dir = temporaryFolder();
  const path = dir.file("cut.safetensors");
  await writeSafetensors(path, { a: { dtype: "F32", shape: [4], data: new Float32Array(4) } });
  const whole = Deno.readFileSync(path);
  for (let size = 0; size < whole.length; size++) {
    Deno.writeFileSync(path, whole.subarray(0, size));
    const error = assertThrows(() => openSafetensors(path), MaspError, "cut.safetensors");
    assert(error.message.includes(`found ${size} bytes, expected`), error.message);
  }
  assertThrows(() => openSafetensors(path), MaspError, `found ${whole.length - 1} bytes, expected ${whole.length}`);
  Deno.writeFileSync(path, new Uint8Array([...whole, 0]));
  assertThrows(
    () => openSafetensors(path),
    MaspError,
    `longer than its header says: found ${whole.length + 1} bytes, expected ${whole.length}`,
  );
});

Deno.test("safetensors: headers that lie are refused", () => {
  using dir = temporaryFolder();
  const path = dir.file("lie.safetensors");
  const f32 = (shape: unknown, data_offsets: unknown) => ({ dtype: "F32", shape, data_offsets });
  const cases: [header: unknown, dataBytes: number, message: string][] = [
    [{ a: f32([2], [0, 4]) }, 4, 'tensor "a" takes 4 bytes, expected 8 for F32 (2,)'],
    [{ a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, 8, 'tensor "b" overlaps "a": it begins at byte'],
    [{ a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, 12, 'tensor "b" leaves a hole after "a"'],
    [{ a: f32([1], [4, 8]) }, 8, "leaves a hole after the header"],
    [{ a: { ...f32([1], [0, 4]), dtype: "F33" } }, 4, 'has dtype "F33", expected one of BOOL'],
    [{ a: { ...f32([1], [0, 4]), dtype: "toString" } }, 4, 'has dtype "toString"'],
    [{ a: f32([-1], [0, 4]) }, 4, "has shape [-1], expected a list of whole numbers"],
    [{ a: f32([2 ** 40, 2 ** 40], [0, 4]) }, 4, "has shape"],
    [{ a: f32([1], [4, 0]) }, 4, "has data_offsets [4,0]"],
    [{ a: f32([1], [0]) }, 4, "has data_offsets [0]"],
    [{ a: null }, 4, "has dtype undefined"],
    [{ __metadata__: { a: 1 } }, 0, "__metadata__"],
    ["[1, 2]", 0, "expected a JSON object of tensors"],
    ["{not json", 0, "is no JSON"],
  ];
  for (const [header, dataBytes, message] of cases) {
    craft(path, header, dataBytes);
    assertThrows(() => openSafetensors(path), MaspError, message);
    assertThrows(() => openSafetensors(path), MaspError, `Cannot load "${path}"`);
  }
  Deno.writeFileSync(path, new Uint8Array(16).fill(0xff));
  assertThrows(() => openSafetensors(path), MaspError, "no safetensors file");
  assertThrows(() => openSafetensors(dir.file("none.safetensors")), MaspError, "the file is missing");
  assertThrows(() => openSafetensors(dir.path), MaspError, dir.path);
});

Deno.test("safetensors: an unknown tensor and data of a wrong length give clear errors", async () => {
  using dir = temporaryFolder();
  const path = dir.file("a.safetensors");
  await writeSafetensors(path, { a: { dtype: "U8", shape: [3], data: new Uint8Array(3) } });
  using file = openSafetensors(path);
  assertThrows(() => file.read("b"), MaspError, 'no tensor "b"; found 1 others ("a")');
  const wrong = { a: { dtype: "F32", shape: [3], data: new Float32Array(2) } } as const;
  await assertRejects(
    () => writeSafetensors(path, { a: { ...wrong.a, shape: [3] } }),
    MaspError,
    'tensor "a" has 8 bytes, expected 12 for F32 (3,)',
  );
  assertEquals(file.read("a"), new Uint8Array(3));
});
