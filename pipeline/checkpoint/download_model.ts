/** Checkpoints from Hugging Face into a folder: each file streamed, gone on with after a stop, checked against its hash, then renamed. */
import { createHash, type Hash } from "node:crypto";
import { ensureDir, exists } from "@std/fs";
import { join } from "@std/path";
import { downloadFile, HubApiError, type ListFileEntry, listFiles } from "@huggingface/hub";
import { MaspError } from "../errors.ts";
import { parseConfig } from "../qwen2_vl/config.ts";
import { readJson } from "../read_json.ts";
import { cannotWrite, writeAll } from "./atomic_write.ts";
import { REQUIRED_FILES } from "./model_folder.ts";

/** Files of a checkpoint; everything else in a repository is left there. */
const WANTED = /^[^/]+\.(safetensors|json|jinja|txt)$|^LICENSE[^/]*$/;

/** A connection that breaks is tried again so often without a byte in between. */
const ATTEMPTS = 5;

/** Options of {@linkcode downloadModel}. */
export interface DownloadModelOptions {
  /** Folder that the files go into; made when missing. */
  dir: string;
  /** Branch, tag or commit. Default: `main`. */
  revision?: string;
  /** Address of the hub, for a mirror. Default: Hugging Face. */
  hubUrl?: string;
  /** For repositories that are not open to everybody. */
  accessToken?: string;
  /** Told the bytes that are there, and of all. */
  onProgress?: (bytes: number, total: number) => void;
  /** Something worth a line. */
  onNotice?: (text: string) => void;
  /** Stops; what is there is gone on with next time. */
  signal?: AbortSignal;
  /** Milliseconds before a broken connection is tried again; doubled each time. Default: 1000. */
  patience?: number;
}

/**
 * Downloads the checkpoint of a repository. Files that are there and whole are kept; parts of files are gone on with.
 *
 * @param repo name on the hub, such as `Qwen/Qwen2-VL-2B-Instruct`
 * @param options see {@linkcode DownloadModelOptions}
 * @returns names of all files, or nothing when it was stopped
 * @throws {MaspError} when there is no such repository, it holds no Qwen2-VL checkpoint, a file is not what the hub says, the network fails, or a
 * file cannot be written
 */
export async function downloadModel(repo: string, options: DownloadModelOptions): Promise<string[] | undefined> {
  const { dir, revision, hubUrl, accessToken, signal, onProgress } = options;
  const hub = {
    repo,
    revision,
    hubUrl,
    accessToken,
    fetch: (url: string | URL | Request, init?: RequestInit) => fetch(url, { ...init, signal }),
  };
  const files = await listed(hub);
  await ensureDir(dir);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  for (const file of files.sort((a, b) => a.size - b.size)) { // the small ones first: they tell whether the large ones are of any use
    if (signal?.aborted) return undefined;
    const done = await fetchFile(file, { ...options, hub, onBytes: (bytes) => onProgress?.(before + bytes, total) });
    if (!done) return undefined;
    before += file.size;
    onProgress?.(before, total);
    if (file.path === "config.json") parseConfig(await readJson(join(dir, "config.json")) as Record<string, unknown>, { name: repo });
  }
  return files.map(({ path }) => path);
}

/** What requests to the hub have in common. */
interface HubRequest {
  repo: string;
  revision?: string;
  hubUrl?: string;
  accessToken?: string;
  fetch: typeof fetch;
}

async function listed(hub: HubRequest): Promise<ListFileEntry[]> {
  const { repo, revision = "main" } = hub;
  let files: ListFileEntry[];
  try {
    files = (await Array.fromAsync(listFiles(hub))).filter(({ type, path }) => type === "file" && WANTED.test(path));
  } catch (cause) {
    const status = cause instanceof HubApiError ? cause.statusCode : undefined;
    const why = status === 401 || status === 403 || status === 404
      ? `the hub has no "${repo}" at "${revision}", or shows it only to those whom it knows (set HF_TOKEN)`
      : `${(cause as Error).message}; check the network, or name a mirror with HF_ENDPOINT`;
    throw new MaspError(`Cannot download "${repo}": ${why}`, { cause });
  }
  const names = files.map(({ path }) => path);
  const missing = REQUIRED_FILES.filter((name) => !names.includes(name));
  if (!names.some((name) => name.endsWith(".safetensors"))) missing.push("*.safetensors");
  if (missing.length) {
    throw new MaspError(`Cannot download "${repo}": it has no ${missing.join(", ")}, so it is no checkpoint for this program`);
  }
  return files;
}

/** @returns whether the file is there; otherwise it was stopped */
async function fetchFile(
  file: ListFileEntry,
  options: DownloadModelOptions & { hub: HubRequest; onBytes: (bytes: number) => void },
): Promise<boolean> {
  const { dir, hub, signal, onNotice, onBytes, patience = 1000 } = options;
  const path = join(dir, file.path);
  const part = join(dir, `.${file.path}.part`);
  if (await exists(path)) {
    if ((await Deno.stat(path)).size === file.size) return true;
    throw new MaspError(
      `"${path}" has not the size that "${hub.repo}" gives it (${file.size}); move it away, or give another folder with --dir`,
    );
  }
  let pause = patience;
  for (let attempt = 1;; attempt++) {
    const begun = await sizeOf(part);
    try {
      const hash = await appendTo(part, file, { hub, onBytes });
      if (hash === (file.lfs?.oid ?? file.oid)) break;
      await Deno.remove(part);
      throw new MaspError(`Cannot download "${file.path}": what came is not what "${hub.repo}" lists (hash ${hash}); try again`);
    } catch (cause) {
      if (signal?.aborted) return false;
      if (cause instanceof MaspError) throw cause;
      if (await sizeOf(part) > begun) [attempt, pause] = [0, patience];
      if (attempt >= ATTEMPTS) {
        throw new MaspError(`Cannot download "${file.path}": ${messageOf(cause)}; the same command goes on with it`, { cause });
      }
      onNotice?.(`${file.path}: ${messageOf(cause)}; trying again`);
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause *= 2;
    }
  }
  await Deno.rename(part, path);
  return true;
}

/** Appends what is missing of a file. @returns the hash of the whole: SHA-256 where the hub has that, else git's */
async function appendTo(
  part: string,
  file: ListFileEntry,
  options: { hub: HubRequest; onBytes: (bytes: number) => void },
): Promise<string> {
  const { hub, onBytes } = options;
  const hash = file.lfs ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`);
  let done = await hashOf(part, { hash, most: file.size });
  using target = await openPart(part, done);
  if (done < file.size) {
    const blob = await downloadFile({ ...hub, path: file.path, xet: false });
    if (!blob) throw new MaspError(`Cannot download "${file.path}": the hub lists it, but does not have it`);
    for await (const bytes of blob.slice(done, file.size).stream()) {
      await write(target, bytes, part);
      hash.update(bytes);
      onBytes(done += bytes.length);
    }
    if (done < file.size) throw new Error(`the connection ended after ${done} of ${file.size} bytes`);
  }
  await target.sync();
  return hash.digest("hex");
}

/** Hashes the bytes that are there already. @returns how many */
async function hashOf(part: string, { hash, most }: { hash: Hash; most: number }): Promise<number> {
  if (await sizeOf(part) === 0) return 0;
  let done = 0;
  using file = await Deno.open(part);
  const buffer = new Uint8Array(2 ** 20);
  for (let read = await file.read(buffer); read !== null && done < most; read = await file.read(buffer)) {
    const bytes = buffer.subarray(0, Math.min(read, most - done));
    hash.update(bytes);
    done += bytes.length;
  }
  return done;
}

async function openPart(part: string, size: number): Promise<Deno.FsFile> {
  try {
    const file = await Deno.open(part, { write: true, create: true });
    await file.truncate(size);
    await file.seek(0, Deno.SeekMode.End);
    return file;
  } catch (cause) {
    throw cannotWrite(part, cause);
  }
}

async function write(file: Deno.FsFile, bytes: Uint8Array, path: string): Promise<void> {
  try {
    await writeAll(file, bytes);
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

async function sizeOf(path: string): Promise<number> {
  return await exists(path) ? (await Deno.stat(path)).size : 0;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
