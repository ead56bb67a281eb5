/**
 * What the page's server answers:
 *
 * - `GET /` and the page's files;
 * - `GET /api/health`: what is served, and how much waits;
 * - `POST /api/predict` with a picture's bytes: JSON with what `predict` says; `?maps=1` adds where each view looks; with
 *   `Accept: application/x-ndjson` a line for every change of the place in the queue, and the reading in the last one;
 * - `GET /api/examples` and `GET /api/examples/NUMBER`: pictures to try.
 */
import { COLOUR_STOPS } from "../report/colour_scale.ts";
import { MaspError } from "../errors.ts";
import { ASSETS } from "./assets.ts";
import { HttpError } from "./http_error.ts";
import { JobQueue } from "./job_queue.ts";
import type { PictureReader, ServedReading } from "./picture_reader.ts";
import { MEDIA_TYPES, pictureType } from "./picture_type.ts";
import { checkRequest } from "./request_guard.ts";
import { content, eventStream, json, problem } from "./responses.ts";
import { readUpload, type Upload, UPLOAD_LIMITS, type UploadLimits } from "./upload.ts";

/** A picture to try. */
export interface ExamplePicture {
  /** Path of the file. */
  image: string;
  /** The emotion that the data set names. */
  label: string;
}

/** What the page tells of the model. */
export interface ServedModel {
  /** Its name. */
  model: string;
  /** How it is asked, in words. */
  method: string;
  /** The adapter. */
  gpu: string;
  /** Whether that is a software adapter. */
  software: boolean;
  /** Names of the aspects; none without aspect tokens. */
  views: readonly string[];
  /** Emotions to choose from. */
  categories: readonly string[];
}

/** Options of {@linkcode PageHandler}. */
export interface PageHandlerOptions {
  /** Reads pictures. */
  reader: Pick<PictureReader, "read">;
  /** What is served. */
  about: ServedModel;
  /** Pictures to try; none when left out. */
  examples?: readonly ExamplePicture[];
  /** Address that the server listens on; 127.0.0.1 when left out. */
  hostname?: string;
  /** Other names of this machine under which it may be called. */
  names?: readonly string[];
  /** Pictures that may wait beside the one that is read; 16 when left out. */
  queueLimit?: number;
  /** What is taken at most; 20 MB and 100 megapixels when left out. */
  limits?: UploadLimits;
  /** Says why nothing can be read any more, in a sentence, when that is so: then everything under `/api/` is answered with 503. */
  unavailable?: () => string | undefined;
  /** Told errors that are no fault of a request. */
  onFault?: (error: unknown) => void;
}

/** A change that the page is told of while it waits. */
export type PredictEvent =
  | { event: "waiting"; ahead: number }
  | { event: "reading" }
  | { event: "done"; reading: ServedReading; picture: Omit<Upload, "bytes">; milliseconds: number }
  | { event: "failed"; error: string; status: number };

/** Answers requests; one picture is read at a time. */
export class PageHandler {
  readonly #options: PageHandlerOptions;
  readonly #queue: JobQueue;
  readonly #limits: UploadLimits;

  /** @param options see {@linkcode PageHandlerOptions} */
  constructor(options: PageHandlerOptions) {
    this.#options = options;
    this.#queue = new JobQueue({ limit: options.queueLimit ?? 16 });
    this.#limits = options.limits ?? UPLOAD_LIMITS;
  }

  /** Answers a request; never throws. */
  async handle(request: Request): Promise<Response> {
    try {
      checkRequest(request, { hostname: this.#options.hostname ?? "127.0.0.1", names: this.#options.names });
      return await this.#route(request);
    } catch (error) {
      return problem(this.#told(error));
    }
  }

  /** Refuses pictures from now on, and waits for the one that is read. */
  close(): Promise<void> {
    return this.#queue.close();
  }

  async #route(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname.startsWith("/api/")) this.#requireAvailable();
    if (pathname === "/api/predict") {
      allow(request, "POST");
      return await this.#predict(request, { maps: ["1", "true"].includes(searchParams.get("maps") ?? "") });
    }
    allow(request, "GET", "HEAD");
    const asset = ASSETS.get(pathname);
    if (asset) return content(asset.text, asset.type);
    if (pathname === "/api/health") return json(this.#health());
    const { examples = [] } = this.#options;
    if (pathname === "/api/examples") {
      return json(examples.map(({ image, label }, i) => ({ name: image.split(/[/\\]/).at(-1), label, url: `/api/examples/${i}` })));
    }
    const example = examples[Number(/^\/api\/examples\/(\d+)$/.exec(pathname)?.[1])];
    if (example) return await sendExample(example);
    throw new HttpError(404, `There is no ${pathname} here; the page is at /`);
  }

  async #predict(request: Request, options: { maps: boolean }): Promise<Response> {
    const place = this.#queue.reserve(); // before anything of the body is taken
    const read = async (onPosition?: (ahead: number) => void) => {
      using _held = place;
      const upload = await readUpload(request, { limits: this.#limits, signal: this.#queue.closing });
      const { bytes: _, ...picture } = upload;
      return { picture, ...await this.#queue.add(() => this.#read(upload, options), { signal: request.signal, onPosition }) };
    };
    if (!request.headers.get("Accept")?.includes("application/x-ndjson")) return json((await read()).reading);
    return eventStream<PredictEvent>(async (send) => {
      try {
        send({ event: "done", ...await read((ahead) => send(ahead ? { event: "waiting", ahead } : { event: "reading" })) });
      } catch (error) {
        const { message, status } = this.#told(error);
        send({ event: "failed", error: message, status });
      }
    });
  }

  async #read({ bytes, type }: Upload, options: { maps: boolean }): Promise<{ reading: ServedReading; milliseconds: number }> {
    const begin = performance.now();
    try {
      const reading = await this.#options.reader.read(bytes, options);
      return { reading, milliseconds: Math.round(performance.now() - begin) };
    } catch (error) {
      if (!(error instanceof MaspError)) throw error;
      const reason = error.message.replace(/^Cannot decode picture "the upload": |; replace or remove the file$/g, "");
      throw new HttpError(422, `This ${type} picture cannot be read: ${reason}. Save or copy it again, or take another one.`, {
        cause: error,
      });
    }
  }

  /** An error as the sender gets it; what is no fault of the request is reported, too. */
  #told(error: unknown): HttpError {
    if (error instanceof HttpError) return error;
    const lost = this.#unavailable(error);
    if (lost) return lost;
    this.#options.onFault?.(error);
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    return new HttpError(500, `The picture could not be computed: ${reason}. The terminal of the server says more.`, { cause: error });
  }

  /** @throws {HttpError} 503 when nothing can be read any more */
  #requireAvailable(): void {
    const error = this.#unavailable();
    if (error) throw error;
  }

  #unavailable(cause?: unknown): HttpError | undefined {
    const why = this.#options.unavailable?.();
    return why === undefined ? undefined : new HttpError(503, `${why} The server ends; start deno task serve again.`, { cause });
  }

  #health() {
    const { running, waiting, limit } = this.#queue;
    return {
      status: "ok",
      ...this.#options.about,
      queue: { running, waiting, limit },
      limits: { ...this.#limits, types: Object.keys(MEDIA_TYPES) },
      colours: COLOUR_STOPS,
    };
  }
}

/** @throws {HttpError} 405 for another method */
function allow(request: Request, ...methods: string[]): void {
  if (methods.includes(request.method)) return;
  const Allow = methods.join(", ");
  throw new HttpError(405, `${request.method} is not answered here, only ${Allow}`, { headers: { Allow } });
}

async function sendExample({ image }: ExamplePicture): Promise<Response> {
  const bytes = await Deno.readFile(image).catch((cause) => {
    throw new HttpError(404, `The example picture "${image}" is gone; start deno task serve again`, { cause });
  });
  const type = pictureType(bytes);
  return content(bytes, type ? MEDIA_TYPES[type] : "application/octet-stream");
}
