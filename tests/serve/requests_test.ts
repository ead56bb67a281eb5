import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COLOUR_STOPS } from "../../pipeline/report/colour_scale.ts";
import { checkRequest, isLoopback } from "../../pipeline/serve/request_guard.ts";
import { ABOUT, PICTURE, quickHandler, request, upload } from "./support.ts";

/** Status with some headers. */
async function statusOf(headers: Record<string, string>, options: { method?: string; hostname?: string } = {}): Promise<number> {
  const { method = "GET", hostname } = options;
  const body = method === "POST" ? await Deno.readFile(PICTURE) : undefined;
  const path = method === "POST" ? "/api/predict" : "/";
  const response = await quickHandler({ hostname }).handle(request(path, { method, headers, body }));
  await response.body?.cancel();
  return response.status;
}

Deno.test("only this server's own names are answered", async () => {
  for (const Host of ["127.0.0.1:8000", "localhost:9000", "[::1]:8000", "LOCALHOST"]) assertEquals(await statusOf({ Host }), 200, Host);
  for (
    const Host of [
      "evil.example",
      "evil.example:8000",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "10.0.0.7:8000",
      "a b",
      "x@localhost",
    ]
  ) {
    assertEquals(await statusOf({ Host }), 421, Host);
  }
  assertEquals(await statusOf({ Host: "10.0.0.7:8000" }, { hostname: "0.0.0.0" }), 200);
  assertEquals(await statusOf({ Host: "evil.example:8000" }, { hostname: "0.0.0.0" }), 421);
  checkRequest(new Request("http://studio:8000/"), { hostname: "0.0.0.0", names: ["studio"] });
});

Deno.test("pictures are not taken from other sites' pages", async () => {
  const Host = "127.0.0.1:8000";
  const status = (headers: Record<string, string>) => statusOf({ Host, ...headers }, { method: "POST" });
  assertEquals(await status({}), 200);
  assertEquals(await status({ Origin: "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin" }), 200);
  assertEquals(await status({ Origin: "http://evil.example" }), 403);
  assertEquals(await status({ Origin: "http://127.0.0.1:9000" }), 403);
  assertEquals(await status({ Origin: "null" }), 403);
  assertEquals(await status({ "Sec-Fetch-Site": "cross-site" }), 403);
});

Deno.test("every answer keeps the page to itself", async () => {
  const answers = [request("/"), request("/app.js"), request("/api/health"), request("/nothing"), upload(new Uint8Array([1]))];
  for (const asked of answers) {
    const response = await quickHandler().handle(asked);
    await response.body?.cancel();
    const policy = response.headers.get("Content-Security-Policy") ?? "";
    assertStringIncludes(policy, "default-src 'none'");
    assert(!/https?:|\*|unsafe/.test(policy), policy);
    assertEquals(response.headers.get("X-Content-Type-Options"), "nosniff");
    assertEquals(response.headers.get("Access-Control-Allow-Origin"), null);
    assertEquals(response.headers.get("Cache-Control"), "no-store");
  }
});

Deno.test("the page asks for nothing that the server does not have, and for nothing elsewhere", async () => {
  const handler = quickHandler();
  const seen = new Set(["/"]);
  for (const path of seen) {
    const response = await handler.handle(request(path));
    const text = await response.text();
    assertEquals(response.status, 200, path);
    const found = text.matchAll(/(?:href|src)="([^"#]+)"|from "\.?([^"]+)"/g);
    for (const [, link, module] of found) seen.add(link ?? module);
    assert(!/["'(]https?:\/\/(?!www\.w3\.org)/.test(text), `${path} names another server`);
  }
  assert(seen.size >= 12, [...seen].join(" "));
});

Deno.test("health says what is served; other paths and methods are refused", async () => {
  const handler = quickHandler();
  const health = await (await handler.handle(request("/api/health"))).json();
  assertEquals(health, {
    status: "ok",
    ...ABOUT,
    queue: { running: false, waiting: 0, limit: 16 },
    limits: { bytes: 20e6, pixels: 100e6, types: ["JPEG", "PNG", "WebP", "GIF", "AVIF", "TIFF"] },
    colours: COLOUR_STOPS.map((stop) => [...stop]),
  });
  assertEquals((await handler.handle(request("/../../etc/passwd"))).status, 404);
  assertEquals((await handler.handle(request("/api/predict"))).headers.get("Allow"), "POST");
  assertEquals((await handler.handle(request("/", { method: "DELETE" }))).status, 405);
});

Deno.test("examples are named by number alone", async () => {
  const handler = quickHandler({ examples: [{ image: PICTURE, label: "awe" }] });
  const listed = await (await handler.handle(request("/api/examples"))).json();
  assertEquals(listed, [{ name: "rocket_201x133.jpg", label: "awe", url: "/api/examples/0" }]);
  const response = await handler.handle(request(listed[0].url));
  assertEquals(response.headers.get("Content-Type"), "image/jpeg");
  assertEquals(await response.bytes(), await Deno.readFile(PICTURE));
  for (const path of ["1", "-1", "0.5", "x", "..%2f..%2fdeno.json"]) {
    assertEquals((await handler.handle(request(`/api/examples/${path}`))).status, 404, path);
  }
});

Deno.test("an unexpected error is reported and answered, and the server lives on", async () => {
  const faults: unknown[] = [];
  const reader = { read: () => Promise.reject(new TypeError("the device is lost")) };
  const handler = quickHandler({ reader, onFault: (error) => faults.push(error) });
  const response = await handler.handle(upload(await Deno.readFile(PICTURE)));
  assertEquals(response.status, 500);
  assertStringIncludes((await response.json()).error, "the device is lost");
  assertEquals(faults.length, 1);
  assertEquals((await handler.handle(request("/api/health"))).status, 200);
});

Deno.test("addresses of this machine alone", () => {
  assertEquals(["127.0.0.1", "localhost", "::1", "127.1.2.3"].map(isLoopback), [true, true, true, true]);
  assertEquals(["0.0.0.0", "::", "192.168.1.5", "example.org"].map(isLoopback), [false, false, false, false]);
});
