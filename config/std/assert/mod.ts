/** `@std/assert` over `node:assert`: the functions that this project uses, with the original's signatures. */
import * as nodeAssert from "node:assert";

/** Thrown by every assertion of this module. */
export class AssertionError extends Error {
  override name = "AssertionError";
}
function fail(message: string, detail?: string): never {
  throw new AssertionError(detail ? `${message}: ${detail}` : message);
}
/** Truthy, or an error. */
export function assert(expr: unknown, msg = "Assertion failed"): asserts expr {
  if (!expr) fail(msg);
}
/** Deep equality, `NaN` equal to `NaN`. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch (error) {
    fail(msg ?? "Values are not equal", (error as Error).message);
  }
}
/** Not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.notDeepStrictEqual(actual, expected);
  } catch (error) {
    fail(msg ?? "Values are equal", (error as Error).message);
  }
}
/** The same value or object (`Object.is`). */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (!Object.is(actual, expected)) fail(msg ?? "Values are not strictly equal", `${String(actual)} and ${String(expected)}`);
}
/** Equal within `tolerance` (absolute; 1e-7 of the expected value when left out). */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (!(delta <= allowed)) fail(msg ?? "Values are not close", `${actual} and ${expected} differ by ${delta}, allowed ${allowed}`);
}
/** A text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) fail(msg ?? "Text not found", `"${expected}" in "${actual}"`);
}
/** A text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) fail(msg ?? "No match", `${expected} in "${actual}"`);
}
/** Not null or undefined. */
export function assertExists<T>(actual: T, msg = "Value is missing"): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) fail(msg);
}
/** `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) fail(msg ?? "Not less", `${actual} and ${expected}`);
}
/** `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) fail(msg ?? "Not greater", `${actual} and ${expected}`);
}
// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;
function check<E extends Error>(error: unknown, ErrorClass?: ErrorClass<E>, msgIncludes?: string): E {
  if (!(error instanceof Error)) fail("Something that is no Error was thrown", String(error));
  if (ErrorClass && !(error instanceof ErrorClass)) fail(`Expected ${ErrorClass.name}`, `${error.name}: ${error.message}`);
  if (msgIncludes && !error.message.includes(msgIncludes)) fail(`Expected a message with "${msgIncludes}"`, error.message);
  return error as E;
}
/** `fn` throws an error of that class whose message includes that text; returns it. */
export function assertThrows<E extends Error = Error>(fn: () => unknown, ErrorClass?: ErrorClass<E>, msgIncludes?: string): E {
  try {
    fn();
  } catch (error) {
    return check(error, ErrorClass, msgIncludes);
  }
  fail("Expected function to throw");
}
/** The promise that `fn` returns is rejected with an error of that class whose message includes that text; returns it. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    return check(error, ErrorClass, msgIncludes);
  }
  fail("Expected promise to be rejected");
}
