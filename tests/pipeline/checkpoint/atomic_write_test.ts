import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { toFileUrl } from "@std/path";
import { removeTemporaryFiles, writeAtomically, writeFileAtomic } from "../../../pipeline/checkpoint/atomic_write.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { namesIn, PROJECT, temporaryFolder } from "./support.ts";

Deno.test("atomic write: makes parents, replaces a file, leaves nothing beside it", async () => {
  using dir = temporaryFolder();
  const path = dir.file("a/b/file.txt");
  await writeFileAtomic(path, "first");
  await writeFileAtomic(path, new TextEncoder().encode("zweites ü"));
  assertEquals(Deno.readTextFileSync(path), "zweites ü");
  assertEquals(namesIn(dir.file("a/b")), ["file.txt"]);
});

Deno.test("atomic write: a failure while writing leaves the old file and removes the new one", async () => {
  using dir = temporaryFolder();
  const path = dir.file("file.txt");
  await writeFileAtomic(path, "old");
  const failing = writeAtomically(path, async (file) => {
    await file.write(new Uint8Array(10));
    throw new Error("no space left");
  });
  const error = await assertRejects(() => failing, MaspError, "no space left");
  assertMatch(error.message, /^Cannot write ".*file\.txt"/);
  assertEquals(Deno.readTextFileSync(path), "old");
  assertEquals(namesIn(dir.path), ["file.txt"]);
});

Deno.test("atomic write: a parent that is a file gives one clear error", async () => {
  using dir = temporaryFolder();
  await writeFileAtomic(dir.file("file"), "x");
  await assertRejects(() => writeFileAtomic(dir.file("file/below"), "y"), MaspError, "Cannot write");
  assertEquals(Deno.readTextFileSync(dir.file("file")), "x");
});

Deno.test("atomic write: a kill between write and rename leaves the old file; the leftover can be removed", async () => {
  using dir = temporaryFolder();
  const path = dir.file("file.txt");
  await writeFileAtomic(path, "old");
  const module = toFileUrl(`${PROJECT}/pipeline/checkpoint/atomic_write.ts`).href;
  const killed = dir.file("killed.ts");
  Deno.writeTextFileSync(
    killed,
    `import { writeAll, writeAtomically } from "${module}";
    await writeAtomically(${JSON.stringify(path)}, async (file) => {
      await writeAll(file, new TextEncoder().encode("new"));
      Deno.kill(Deno.pid, "SIGKILL");
      await new Promise((done) => setTimeout(done, 5000));
    });`,
  );
  const { signal } = await new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--config", `${PROJECT}/deno.json`, killed] }).output();
  assertEquals(signal, "SIGKILL");
  assertEquals(Deno.readTextFileSync(path), "old");
  assertEquals(namesIn(dir.path).filter((name) => name.startsWith(".file.txt.tmp-")).length, 1);
  await removeTemporaryFiles(dir.path, "file");
  assertEquals(namesIn(dir.path), ["file.txt", "killed.ts"]);
});
