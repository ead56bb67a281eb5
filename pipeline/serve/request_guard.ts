/**
 * Which requests are answered. A page elsewhere on the web can make a browser send requests to this machine, even under a name of its own that it
 * makes point here (DNS rebinding): such requests carry that page's name as their host or their origin.
 */
import { HttpError } from "./http_error.ts";

/** Addresses under which a server for this machine alone is reached. */
const LOOPBACK: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** Whether an address is reached from this machine alone. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.includes(bracketed(hostname)) || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * Checks where a request comes from.
 *
 * @param options `hostname`: the address that the server listens on; `names`: names under which it may be called, too
 * @throws {HttpError} 421 when it was sent to another name than this server's, 403 when another site's page sent it
 */
export function checkRequest(request: Request, options: { hostname: string; names?: readonly string[] }): void {
  const host = request.headers.get("Host") ?? new URL(request.url).host;
  const name = hostnameOf(host);
  const open = !isLoopback(options.hostname);
  const known = [...LOOPBACK, bracketed(options.hostname), ...options.names ?? []].map((name) => name.toLowerCase());
  if (name === undefined || !(known.includes(name) || (open && isAddress(name)))) {
    throw new HttpError(421, `This server is not called "${host}"; open it as http://${known[0]} with its port`);
  }
  const origin = request.headers.get("Origin");
  const site = request.headers.get("Sec-Fetch-Site") ?? "none";
  const foreign = origin !== null && origin.toLowerCase() !== `http://${host}`.toLowerCase();
  const sends = request.method !== "GET" && request.method !== "HEAD";
  if (sends && (foreign || !["same-origin", "none"].includes(site))) {
    throw new HttpError(403, "Pictures are taken from this server's own page and from programs, not from the pages of other sites");
  }
}

/** The name or address in a Host header, without the port; nothing when it is no host. */
function hostnameOf(host: string): string | undefined {
  const url = URL.parse(`http://${host}`);
  return url && url.pathname === "/" && !url.username && !url.search && !url.hash ? url.hostname : undefined;
}

/** An address cannot be made to point elsewhere, as a name can. */
function isAddress(hostname: string): boolean {
  return /^(\d+\.){3}\d+$/.test(hostname) || hostname.startsWith("[");
}

function bracketed(hostname: string): string {
  return hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
}
