/**
 * Pictures decoded and processed beside everything else: some at a time, and large ones in workers, so that their resizing does not hold up
 * what keeps the GPU busy.
 */
import { MaspError } from "../../errors.ts";
import type { Picture } from "./picture.ts";
import type { PictureProcessor, PictureProcessorConfig, ProcessedPicture } from "./preprocess.ts";

/** What a worker is asked. */
export interface WorkerRequest {
  /** The processor's settings. */
  config: PictureProcessorConfig;
  /** The picture, whose memory goes over to the worker. */
  picture: Picture;
}

/** What a worker answers: the result, or the message of an error and whether it is one that a user can act on. */
export type WorkerAnswer = { processed: ProcessedPicture } | { message: string; expected: boolean };

/** Options of {@linkcode PictureQueue}. */
export interface PictureQueueOptions {
  /** Workers at most; one fewer than there are cores, and at most 4, when left out. */
  workers?: number;
  /** Pictures of fewer pixels are processed without a worker; 512 · 512 when left out. */
  smallest?: number;
}

/** See the module's text. Workers end when there is nothing to do for a while. */
export class PictureQueue implements Disposable {
  readonly #processor: PictureProcessor;
  readonly #most: number;
  readonly #smallest: number;
  readonly #waiting: (() => void)[] = [];
  readonly #idle: Worker[] = [];
  #running = 0;
  #ending?: ReturnType<typeof setTimeout>;

  /** @param processor what processes a picture */
  constructor(processor: PictureProcessor, options: PictureQueueOptions = {}) {
    this.#processor = processor;
    this.#most = options.workers ?? Math.min(4, Math.max(1, navigator.hardwareConcurrency - 1));
    this.#smallest = options.smallest ?? 2 ** 18;
  }

  /**
   * Decodes and processes a picture, in its turn.
   *
   * @param decode gives the picture, whose memory may then be taken away
   * @throws what `decode` throws
   * @throws {MaspError} when one side is more than 200 times the other
   */
  async process(decode: () => Promise<Picture>): Promise<ProcessedPicture> {
    if (this.#running >= this.#most) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#running++;
    clearTimeout(this.#ending);
    try {
      const picture = await decode();
      return picture.width * picture.height < this.#smallest ? this.#processor.process(picture) : await this.#ask(picture);
    } finally {
      const next = this.#waiting.shift(); // takes this one's place
      if (next) next();
      else if (--this.#running === 0) {
        const ending = this.#ending = setTimeout(() => this.#end(), IDLE_MILLISECONDS);
        Deno.unrefTimer(ending);
      }
    }
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    clearTimeout(this.#ending);
    this.#end();
  }

  #end(): void {
    for (const worker of this.#idle.splice(0)) worker.terminate();
  }

  async #ask(picture: Picture): Promise<ProcessedPicture> {
    const worker = this.#idle.pop() ?? new Worker(new URL("./picture_worker.ts", import.meta.url), { type: "module" });
    const answered = Promise.withResolvers<WorkerAnswer>();
    worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => answered.resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      answered.reject(new Error(`the worker that processes pictures failed: ${event.message}`));
    };
    const { data } = picture;
    const whole = data.byteLength === data.buffer.byteLength ? picture : { ...picture, data: data.slice() };
    worker.postMessage({ config: this.#processor.config, picture: whole }, [whole.data.buffer as ArrayBuffer]);
    let answer: WorkerAnswer;
    try {
      answer = await answered.promise;
    } catch (error) {
      worker.terminate();
      throw error;
    }
    this.#idle.push(worker);
    if ("processed" in answer) return answer.processed;
    throw answer.expected ? new MaspError(answer.message) : new Error(answer.message);
  }
}

/** Workers that have had nothing to do for so long end, since a program does not end before them. */
const IDLE_MILLISECONDS = 500;
