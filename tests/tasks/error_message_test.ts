/** Faults of the file system end in a message with advice; faults of the program do not. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../pipeline/errors.ts";
import { isInterruption, messageOf } from "../../tasks/error_message.ts";
import { workplace } from "./support.ts";

/** What an action throws. */
async function thrown(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

Deno.test("messageOf: what the file system says, and what to do about it", async () => {
  const dir = await Deno.makeTempDir({ prefix: "masp_message_" });
  try {
    const file = join(dir, "file");
    await Deno.writeTextFile(file, "");
    await Deno.symlink("loop", join(dir, "loop"));
    const cases: [action: () => Promise<unknown>, advice: string][] = [
      [() => Deno.readFile(join(dir, "none")), "Check the path"],
      [() => Deno.mkdir(join(file, "below"), { recursive: true }), "A part of the path is a file"],
      [() => Deno.writeTextFile(dir, ""), "That is a folder"],
      [() => Deno.open(file, { createNew: true, write: true }), "there already"],
      [() => Deno.readFile(join(dir, "loop")), "Links lead in a circle"],
      [() => Deno.writeTextFile(join(dir, "x".repeat(300)), ""), "too long"],
      [() => Promise.reject(Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" })), "The disk is full"],
    ];
    for (const [action, advice] of cases) {
      const error = await thrown(action);
      const message = messageOf(error);
      assert(message !== undefined, `${error}`);
      assertStringIncludes(message, advice);
      assertStringIncludes(message, (error as Error).message);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("messageOf: faults of the program have none; of two errors both are told", () => {
  for (const error of [new TypeError("x"), new Error("plain"), "text", undefined, new Deno.errors.BadResource("x")]) {
    assertEquals(messageOf(error), undefined);
  }
  const both = new SuppressedError(new MaspError("second"), new MaspError("first"));
  assertEquals(messageOf(both), "first\nsecond");
  assertEquals(messageOf(new SuppressedError(new MaspError("second"), new TypeError("first"))), undefined);
  assert(isInterruption(AbortSignal.abort().reason) && !isInterruption(new Error("AbortError")));
});

Deno.test("an output folder below a file is one message, in every stage", async () => {
  await using place = await workplace();
  const below = join(place.config, "outputs");
  for (const task of ["stage1", "stage2", "eval"]) {
    const message = await place.fails(task, ["--output-dir", below, "--max-samples", "2"], {
      says: [/Not a directory|folder/, /--output-dir/],
    });
    assertStringIncludes(message, below);
  }
});
