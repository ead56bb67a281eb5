/** Data sets, annotations, pictures and runs that are not as they should be: one message that says what to do, earlier results untouched. */
import { assert, assertMatch } from "@std/assert";
import { workplace } from "./support.ts";

Deno.test("data sets that are empty, missing or of other labels", async () => {
  await using place = await workplace();
  await place.fails("eval", ["--test-data-path", "nowhere"], { says: [/Cannot find data set "nowhere"/, /LABEL\/PICTURE/] });
  await Deno.mkdir(place.file("empty"));
  await place.fails("eval", ["--test-data-path", place.file("empty")], { says: [/the folder is empty; expected/] });
  await Deno.rename(place.file("emoset", "test", "awe"), place.file("emoset", "test", "wonder"));
  await place.fails("eval", [], { says: [/"wonder"/, /amusement.*awe/s] });
});

Deno.test("annotations that are no JSON, or have a brightness of 7", async () => {
  await using place = await workplace();
  const [picture] = await Array.fromAsync(Deno.readDir(place.file("emoset", "train", "awe")));
  const name = picture.name.replace(/\..+$/, ".json");
  const path = place.file("emoset", "annotation", "awe", name);
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, text.slice(0, text.length / 2));
  await place.fails("stage1", [], { says: [new RegExp(name), /JSON/] });
  await Deno.writeTextFile(path, JSON.stringify({ ...JSON.parse(text), brightness: 7 }));
  await place.fails("stage1", [], { says: [new RegExp(name), /brightness.*7/] });
});

Deno.test("pictures that cannot be decoded: all are named; --skip-bad-images goes on and lists them", async () => {
  await using place = await workplace();
  const pictures = await Array.fromAsync(Deno.readDir(place.file("emoset", "test", "awe")));
  const [first] = pictures.map(({ name }) => place.file("emoset", "test", "awe", name));
  const [other] = (await Array.fromAsync(Deno.readDir(place.file("emoset", "test", "fear")))).map(({ name }) =>
    place.file("emoset", "test", "fear", name)
  );
  await Deno.writeFile(first, (await Deno.readFile(first)).subarray(0, 300));
  await Deno.writeTextFile(other, "no picture at all");
  const named = [first, other].map((path) => new RegExp(path.split("/").slice(-2).join("/").replaceAll(".", "\\.")));
  await place.fails("eval", [], { says: [...named, /--skip-bad-images/] });
  const { code, stdout } = await place.run("eval", ["--skip-bad-images"]);
  assert(code === 0, stdout);
  for (const pattern of [...named, /, 6 pictures/]) assertMatch(stdout, pattern);
});

Deno.test("single pictures and runs that are not there, ports that are none", async () => {
  await using place = await workplace();
  await place.fails("predict", ["none.png"], { says: [/There is no picture "none\.png"/] });
  await Deno.writeTextFile(place.file("text.png"), "just text");
  await place.fails("predict", [place.file("text.png")], { says: [/Cannot decode picture ".*text\.png"/] });
  await Deno.mkdir(place.file("empty"));
  await place.fails("report", [place.file("empty")], { says: [/has no metrics\.jsonl and no evaluation\.json/, /deno task stage1/] });
  await place.fails("serve", ["--port", "99999"], { says: [/--port is 99999; expected a whole number up to 65535/] });
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  await place.fails("serve", ["--port", `${port}`], { says: [new RegExp(`${port}`), /--port/] });
});
