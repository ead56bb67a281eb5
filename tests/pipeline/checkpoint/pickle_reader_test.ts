import { assert, assertEquals, assertRejects } from "@std/assert";
import { readTensorPickle, TensorRef } from "../../../pipeline/checkpoint/pickle_reader.ts";
import { writeTensorPickle } from "../../../pipeline/checkpoint/pickle_writer.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { randomNumbers } from "./support.ts";

/** A pickle written by hand: opcodes and texts as Latin-1. */
function pickle(code: string): Uint8Array {
  return Uint8Array.from(code, (letter) => letter.charCodeAt(0));
}

const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
const storage = (length = 6) => `(${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}K${String.fromCharCode(length)}tQ`;
const ints = (values: number[]) => `(${values.map((n) => `K${String.fromCharCode(n)}`).join("")}t`;
const tensor = (shape: number[], stride: number[], offset = 0) =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${storage()}K${String.fromCharCode(offset)}${ints(shape)}${ints(stride)}\x89}tR`;

Deno.test("pickle: a tensor written by hand", async () => {
  const ref = await readTensorPickle(pickle(`\x80\x02${tensor([2, 3], [3, 1])}.`), "a.pt");
  assert(ref instanceof TensorRef);
  assertEquals([ref.shape, ref.stride, ref.offset, ref.storage.length, ref.storage.dtype], [[2, 3], [3, 1], 0, 6, "F32"]);
});

Deno.test("pickle: names of code are refused in every opcode that can name them", async () => {
  const command = text("touch /tmp/x");
  const attacks: [string, string][] = [
    [`\x80\x02cos\nsystem\n(${command}tR.`, "os.system"],
    [`\x80\x02cbuiltins\neval\n(${command}tR.`, "builtins.eval"],
    [`(ios\nsystem\n.`, "os.system"],
    [`\x80\x04\x8c\x02os\x8c\x06system\x93(${command}tR.`, "os.system"],
    [`\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.`, "torch._utils._rebuild_tensor_v2.__globals__"],
    [`\x80\x02c__proto__\nconstructor\n.`, "__proto__.constructor"],
    [`\x80\x02ctorch\nload\n(${command}tR.`, "torch.load"],
  ];
  for (const [code, name] of attacks) {
    await assertRejects(
      () => readTensorPickle(pickle(code), "bad.pt"),
      MaspError,
      `Refuses to load "bad.pt": the pickle names ${name}, expected`,
    );
  }
});

Deno.test("pickle: allowed names in places where they do not belong are refused", async () => {
  const cases: [string, string][] = [
    ["\x80\x02ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"],
    ["\x80\x02ctorch\nFloatStorage\n.", "a name instead of a value"],
    [`\x80\x02ctorch._utils\n_rebuild_parameter\n(K\x01tR.`, "makes a parameter of no tensor"],
    [`\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01tR.`, "makes a tensor of no storage"],
    [`\x80\x02ccollections\nOrderedDict\n(K\x05tR.`, "makes an OrderedDict of no pairs"],
    [`\x80\x02${text("module")}Q.`, "refers to something else than a storage"],
    [`\x80\x02(${text("storage")}K\x01${text("0")}${text("cpu")}K\x01tQ.`, "has a wrong storage"],
    [`\x80\x02${text("a")})R.`, "is damaged"],
    [`\x80\x02ccollections\nOrderedDict\n)\x81.`, "is damaged"],
    ["\x80\x02]q\0h\0a.", "contains itself"],
    ["\x80\x04\x8f.", "holds a Set"],
    ["\x80\x02C\x01a.", "holds bytes"],
    [`\x80\x02}(]K\x01u.`, "a dict whose key is a Array"],
    [`(${text("a")}K\x01d.`, "a dict in the form of protocol 0"],
    ["\x80\x02\x8a\x05\0\0\0\0\xff.", "holds a whole number below -2^31"],
    ["\x80\x02", "is damaged"],
    ["\x80\x09.", "is damaged"],
    ["\x80\x02\x82\x01.", "is damaged"],
    ["\x80\x02.", "holds"],
  ];
  for (const [code, message] of cases) {
    const error = await assertRejects(() => readTensorPickle(pickle(code), "bad.pt"), MaspError, message);
    assert(error.message.startsWith('Cannot load "bad.pt": its pickle '), error.message);
  }
});

Deno.test("pickle: tensors that reach beyond their storage, or are changed after they were made, are refused", async () => {
  const cases: [string, string][] = [
    [`\x80\x02${tensor([7], [1])}.`, 'ends at element 6, but its storage "0" has 6'],
    [`\x80\x02${tensor([2, 3], [3, 1], 1)}.`, "ends at element 6"],
    [`\x80\x02${tensor([2, 3], [3])}.`, "shape (2,3) and strides (3)"],
    [`\x80\x02${tensor([255, 255, 255, 255], [0, 0, 0, 0])}.`, "over 6 stored elements"],
    [`\x80\x02${tensor([2], [1])}}${text("offset")}K\xffsb.`, "is damaged"], // BUILD
  ];
  for (const [code, message] of cases) await assertRejects(() => readTensorPickle(pickle(code), "bad.pt"), MaspError, message);
  // APPEND to the list that gave the shape, once the tensor is made.
  const list = "]q\x01(K\x02e";
  const grown = `ctorch._utils\n_rebuild_tensor_v2\n(${storage()}K\0${list}(K\x01t\x89}tRq\x020h\x01K\xffa0h\x02`;
  const ref = await readTensorPickle(pickle(`\x80\x02${grown}.`), "a.pt");
  assert(ref instanceof TensorRef);
  assertEquals(ref.shape, [2]);
});

Deno.test("pickle: no file leaves anything behind for the next one", async () => {
  await assertRejects(() => readTensorPickle(pickle(`\x80\x02ccollections\nOrderedDict\n}${text("x")}K\x01sb.`), "bad.pt"), MaspError);
  const prototype = `\x80\x02]}${text("__proto__")}}${text("evil")}K\x01ssb.`;
  await readTensorPickle(pickle(prototype), "bad.pt").catch(() => {}); // Refused or not, it must have no effect.
  assertEquals(({} as Record<string, unknown>)["evil"], undefined);
  assertEquals(([] as unknown as Record<string, unknown>)["evil"], undefined);
});

Deno.test("pickle: random damage gives a value or a clear error, never anything else", async () => {
  const value = new Map([["a", { dtype: "F32" as const, shape: [2, 3], data: new Float32Array(6) }]]);
  const { bytes } = writeTensorPickle(new Map([["q_view", value], ["list", value]]));
  const random = randomNumbers(11);
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const copy = bytes.slice();
    for (let i = 0; i <= round % 3; i++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
    try {
      await readTensorPickle(copy, "fuzz.pt");
    } catch (error) {
      assert(error instanceof MaspError, String(error));
      refused++;
    }
  }
  assert(refused > 1000, `${refused} of 3000 were refused`);
});
