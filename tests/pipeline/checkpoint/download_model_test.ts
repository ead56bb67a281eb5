/** Downloads from a hub on this machine, which does what Hugging Face's does: a listing with hashes, files by byte ranges. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { downloadModel } from "../../../pipeline/checkpoint/download_model.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { namesIn, PROJECT, temporaryFolder } from "./support.ts";

const MODEL = join(PROJECT, "tests", "golden", "model");
/** The larger one of its shards, which comes last. */
const WEIGHTS = "model-00001-of-00002.safetensors";
const REPO = "someone/Tiny-VL";

/** How the hub misbehaves. */
interface Behaviour {
  /** Connections that break in the middle of the weights, before one does not. */
  breaks?: number;
  /** Whether a byte of the weights changes on the way. */
  damages?: boolean;
  /** Files that are other than the golden model's. */
  files?: Record<string, string>;
}

/** A hub with one repository, the golden model, whose weights are known by their SHA-256 and whose other files by git's hash. */
async function hub(behaviour: Behaviour = {}) {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { name } of Deno.readDir(MODEL)) {
    files.set(name, await Deno.readFile(join(MODEL, name)));
  }
  files.set("README.md", new TextEncoder().encode("not wanted"));
  for (const [name, text] of Object.entries(behaviour.files ?? {})) files.set(name, new TextEncoder().encode(text));
  const requests: string[] = [];
  let { breaks = 0 } = behaviour;
  const entry = (path: string, bytes: Uint8Array) => {
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    const lfs = { oid: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, pointerSize: 130 };
    return { type: "file", path, size: bytes.length, oid, ...(path.endsWith(".safetensors") && { oid: "of the pointer", lfs }) };
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, onError: () => new Response(null, { status: 500 }) },
    (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === `/api/models/${REPO}/tree/main`) return Response.json([...files].map(([path, bytes]) => entry(path, bytes)));
      const path = pathname.replace(`/${REPO}/resolve/main/`, "");
      const bytes = files.get(path);
      if (!bytes) return Response.json({ error: "Repository not found" }, { status: 404 });
      const [, from, to] = (/^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? `bytes=0-${bytes.length - 1}`) ?? []).map(Number);
      requests.push(`${path} ${from}-${to}`);
      const headers = { etag: '"x"', "content-range": `bytes ${from}-${to}/${bytes.length}`, "content-length": String(to - from + 1) };
      const body = bytes.slice(from, to + 1);
      if (path === WEIGHTS && to > from) {
        if (behaviour.damages) body[body.length - 1] ^= 1;
        if (breaks-- > 0) return new Response(broken(body), { status: 206, headers });
      }
      return new Response(body, { status: 206, headers });
    },
  );
  const hubUrl = `http://127.0.0.1:${server.addr.port}`;
  return { hubUrl, files, requests, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** The first half, then a connection that breaks. */
function broken(body: Uint8Array): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    async pull(controller) {
      if (sent) {
        await new Promise((resolve) => setTimeout(resolve, 20)); // the half is on its way
        return controller.error(new Error("broken"));
      }
      controller.enqueue(body.subarray(0, body.length >> 1));
      sent = true;
    },
  });
}

Deno.test("download: all files of a checkpoint, whole; broken connections are gone on with; a second time nothing is fetched", async () => {
  using dir = temporaryFolder();
  await using server = await hub({ breaks: 7 });
  const { hubUrl, files, requests } = server;
  const progress: number[] = [];
  const notices: string[] = [];
  const onNotice = (text: string) => void notices.push(text);
  const options = {
    dir: dir.path,
    hubUrl,
    patience: 1,
    onNotice,
    onProgress: (bytes: number, total: number) => progress.push(bytes / total),
  };
  const listed = await downloadModel(REPO, options);
  const wanted = [...files.keys()].filter((name) => name !== "README.md").sort();
  assertEquals(listed?.sort(), wanted);
  assertEquals(namesIn(dir.path), wanted);
  for (const name of wanted) assertEquals(await Deno.readFile(dir.file(name)), files.get(name));
  assertEquals(progress.at(-1), 1);
  assert(progress.every((share, i) => i === 0 || share >= progress[i - 1]), progress.join());
  assertEquals(notices.length, 7, notices.join("\n"));
  const weights = requests.filter((line) => line.startsWith(WEIGHTS) && !line.endsWith(" 0-0")).map((line) => line.split(" ")[1]);
  assert(weights.length === 8 && new Set(weights).size === 8, weights.join()); // each begins where the one before broke
  requests.length = 0;
  await downloadModel(REPO, options);
  assertEquals(requests, []);
});

Deno.test("download: one that was stopped goes on; one whose bytes are wrong is refused and thrown away", async () => {
  using dir = temporaryFolder();
  const controller = new AbortController();
  {
    await using server = await hub({ breaks: 1 });
    const { hubUrl } = server;
    const stop = { dir: dir.path, hubUrl, signal: controller.signal, patience: 1, onNotice: () => controller.abort() };
    assertEquals(await downloadModel(REPO, stop), undefined);
  }
  assert(namesIn(dir.path).includes(`.${WEIGHTS}.part`) && !namesIn(dir.path).includes(WEIGHTS));
  await using server = await hub();
  await downloadModel(REPO, { dir: dir.path, hubUrl: server.hubUrl });
  assertEquals(await Deno.readFile(dir.file(WEIGHTS)), server.files.get(WEIGHTS));
  using other = temporaryFolder();
  await using damaging = await hub({ damages: true });
  const refused = () => downloadModel(REPO, { dir: other.path, hubUrl: damaging.hubUrl });
  await assertRejects(refused, MaspError, `Cannot download "${WEIGHTS}": what came is not what "${REPO}" lists`);
  assert(!namesIn(other.path).some((name) => name.includes(WEIGHTS)), namesIn(other.path).join());
});

Deno.test("download: what cannot be had, or is of no use, is told before the weights are fetched", async () => {
  using dir = temporaryFolder();
  await using server = await hub({ files: { "config.json": '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}' } });
  const { hubUrl, requests } = server;
  const { message } = await assertRejects(() => downloadModel(REPO, { dir: dir.path, hubUrl }), MaspError);
  assertMatch(message, /someone\/Tiny-VL.*(llama|qwen2_vl)/is);
  assert(!requests.some((line) => line.includes(".safetensors")), requests.join());
  const unknown = () => downloadModel("someone/Else", { dir: dir.path, hubUrl });
  await assertRejects(unknown, MaspError, 'the hub has no "someone/Else" at "main"');
  const unreachable = () => downloadModel(REPO, { dir: dir.path, hubUrl: "http://127.0.0.1:1" });
  await assertRejects(unreachable, MaspError, "check the network, or name a mirror with HF_ENDPOINT");
  await Deno.writeTextFile(dir.file("tokenizer.json"), "another one");
  await using right = await hub();
  await Deno.remove(dir.file("config.json"));
  const there = () => downloadModel(REPO, { dir: dir.path, hubUrl: right.hubUrl });
  await assertRejects(there, MaspError, 'tokenizer.json" has not the size');
});
