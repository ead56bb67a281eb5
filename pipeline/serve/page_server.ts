/** Listens and answers until it is closed. */
import { MaspError } from "../errors.ts";
import type { PageHandler } from "./handler.ts";

/** A server that answers; dispose of it to end it after the picture that is being read. */
export interface PageServer extends AsyncDisposable {
  /** Address of the page. */
  readonly url: string;
}

/** Options of {@linkcode startPageServer}. */
export interface StartPageServerOptions {
  /** Address to listen on; 127.0.0.1 when left out, so that only this machine reaches it. */
  hostname?: string;
  /** Port to listen on; 8000 when left out, and any free one for 0. */
  port?: number;
}

/**
 * Starts a server.
 *
 * @param handler answers the requests
 * @throws {MaspError} when the address or the port cannot be had
 */
export function startPageServer(handler: PageHandler, options: StartPageServerOptions = {}): PageServer {
  const { hostname = "127.0.0.1", port = 8000 } = options;
  let url = "";
  const server = listen(() =>
    Deno.serve({
      hostname,
      port,
      onListen: ({ hostname: address, port }) => {
        const everywhere = address === "0.0.0.0" || address === "::";
        const name = everywhere ? "localhost" : address.includes(":") ? `[${address}]` : address;
        url = `http://${name}:${port}/`;
      },
    }, (request) => handler.handle(request)), { hostname, port });
  return {
    url,
    async [Symbol.asyncDispose]() {
      // At once: no more connections, and 503 for what waits. The answer to the picture that is read still gets to its sender.
      await Promise.all([handler.close(), server.shutdown()]);
    },
  };
}

function listen<T>(begin: () => T, { hostname, port }: Required<StartPageServerOptions>): T {
  try {
    return begin();
  } catch (cause) {
    if (cause instanceof Deno.errors.AddrInUse) {
      throw new MaspError(`Port ${port} is in use; take another one: deno task serve --port ${port + 1}`, { cause });
    }
    if (cause instanceof Deno.errors.AddrNotAvailable) {
      throw new MaspError(`This machine has no address "${hostname}"; take --host 0.0.0.0 for all of its addresses`, { cause });
    }
    if (cause instanceof Deno.errors.NotCapable) {
      throw new MaspError(
        `This task may not listen on "${hostname}"; take --host 0.0.0.0 for all addresses of this machine, or allow it in deno.json`,
        { cause },
      );
    }
    throw cause;
  }
}
