import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { readAhead } from "../../../pipeline/checkpoint/read_ahead.ts";
import { MaspError } from "../../../pipeline/errors.ts";

/** Two files of bytes that tell their places. */
async function twoFiles(run: (paths: [string, string], bytes: Uint8Array) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7 + (i >> 8));
    const paths: [string, string] = [join(dir, "one"), join(dir, "two")];
    await Deno.writeFile(paths[0], bytes);
    await Deno.writeFile(paths[1], bytes.toReversed());
    await run(paths, bytes);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("parts of files come in order, in pieces that belong to one part, whatever is read ahead", async () => {
  await twoFiles(async ([one, two], bytes) => {
    const parts = [
      { path: one, begin: 3, end: 250 },
      { path: two, begin: 0, end: 5 },
      { path: one, begin: 7, end: 7 },
      { path: two, begin: 900, end: 1000 },
      { path: one, begin: 0, end: 64 },
    ];
    const of = ({ path, begin, end }: (typeof parts)[number]) => [...(path === one ? bytes : bytes.toReversed()).subarray(begin, end)];
    for (const ahead of [1, 3, 20]) {
      const pieces: number[][] = [];
      for await (const piece of readAhead(parts, { pieceBytes: 64, ahead })) {
        await new Promise((resolve) => setTimeout(resolve, 1)); // later reads may be done meanwhile
        pieces.push([...piece]);
      }
      assertEquals(pieces.flat(), parts.flatMap(of));
      assertEquals(pieces.map((piece) => piece.length), [64, 64, 64, 55, 5, 64, 36, 64]);
    }
  });
});

Deno.test("reading ahead: a file that ends too early or is missing is named when its turn comes; who stops early leaves no file open", async () => {
  await twoFiles(async ([one, two]) => {
    const read = async (path: string) => {
      let length = 0;
      for await (const piece of readAhead([{ path: one, begin: 0, end: 10 }, { path, begin: 990, end: 1010 }])) length += piece.length;
      return length;
    };
    await assertRejects(() => read(two), MaspError, `"${two}": it was cut while it was read: found 1000 bytes, expected 1010`);
    await assertRejects(() => read(`${two}?`), MaspError, "the file is missing");
    for await (const piece of readAhead([{ path: one, begin: 0, end: 900 }], { pieceBytes: 10 })) {
      assertEquals(piece.length, 10);
      break;
    }
  });
});
