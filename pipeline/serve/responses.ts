/** Responses with the headers that keep a page to itself. */
import type { HttpError } from "./http_error.ts";

/** Sent with everything: nothing is loaded from elsewhere, nothing is shown within other pages, nothing is guessed or kept. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Cache-Control": "no-store",
};

/** A response with some content. @param type its media type */
export function content(body: BodyInit, type: string): Response {
  return new Response(body, { headers: { ...SECURITY_HEADERS, "Content-Type": type } });
}

/** A response with JSON. */
export function json(value: unknown, options: { status?: number; headers?: Readonly<Record<string, string>> } = {}): Response {
  const headers = { ...SECURITY_HEADERS, "Content-Type": "application/json; charset=utf-8", ...options.headers };
  return new Response(`${JSON.stringify(value)}\n`, { status: options.status ?? 200, headers });
}

/** What is sent for an error: `{ error: message }`. */
export function problem(error: HttpError): Response {
  return json({ error: error.message }, { status: error.status, headers: error.headers });
}

/**
 * Events as they come, a line of JSON each (`application/x-ndjson`).
 *
 * @param tell sends events; the response ends when its promise is fulfilled
 */
export function eventStream<E>(tell: (send: (event: E) => void) => Promise<void>): Response {
  const encoder = new TextEncoder();
  let open = true;
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      await tell((event) => void (open && controller.enqueue(encoder.encode(`${JSON.stringify(event)}\n`))));
      if (open) controller.close();
    },
    cancel: () => void (open = false),
  });
  return content(body, "application/x-ndjson; charset=utf-8");
}
