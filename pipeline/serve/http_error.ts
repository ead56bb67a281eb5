/** A request that is refused, with the status and the message that its sender gets. */
export class HttpError extends Error {
  /** The class's name. */
  override name = "HttpError";
  /** HTTP status, 400 to 599. */
  readonly status: number;
  /** Further headers of the response. */
  readonly headers: Readonly<Record<string, string>>;

  /** @param status 400 to 599; @param message what was wrong and what to do */
  constructor(status: number, message: string, options: { headers?: Record<string, string>; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = status;
    this.headers = options.headers ?? {};
  }
}
