/** What the page asks its server. */

/** An answer that says what was wrong. */
export class Refusal extends Error {}

/** What is served: model, categories, limits, colours of the maps. */
export function health() {
  return get("/api/health");
}

/** Pictures to try: `{ name, label, url }` each. */
export function examples() {
  return get("/api/examples");
}

/** A picture of this server. */
export async function fetchPicture(url) {
  const response = await reach(url);
  if (!response.ok) throw new Refusal(await messageOf(response));
  return await response.blob();
}

/**
 * Has a picture read.
 *
 * @param {Blob} file
 * @param {{ onEvent: (event: { event: string, ahead?: number }) => void }} options told when the place in the queue changes
 * @returns {Promise<{ reading: object, picture: { type: string, width: number, height: number }, milliseconds: number }>}
 * @throws {Refusal} with the server's message
 */
export async function predict(file, { onEvent }) {
  const response = await reach("/api/predict?maps=1", {
    method: "POST",
    headers: { Accept: "application/x-ndjson", "Content-Type": "application/octet-stream" },
    body: file,
  });
  if (!response.ok) throw new Refusal(await messageOf(response));
  try {
    for await (const event of linesOf(response.body)) {
      if (event.event === "done") return event;
      if (event.event === "failed") throw new Refusal(event.error);
      onEvent(event);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
  }
  throw new Refusal("The server ended before it answered. Is deno task serve still running?");
}

async function get(url) {
  const response = await reach(url);
  if (!response.ok) throw new Refusal(await messageOf(response));
  return await response.json();
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Refusal("The server does not answer. Is deno task serve still running?");
  }
}

async function messageOf(response) {
  const body = await response.json().catch(() => ({}));
  return body.error ?? `The server answers ${response.status}.`;
}

/** JSON lines as they come. */
async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}
