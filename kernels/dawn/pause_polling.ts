/** What `setImmediate` is to this module. */
type SetImmediate = (callback: (...args: unknown[]) => void, ...args: unknown[]) => unknown;

/** So long Dawn waits between two looks at its device, in milliseconds. */
const POLL_MS = 1;
const paused = new WeakSet<SetImmediate>();

/**
 * Makes native functions that are handed to `setImmediate` wait a millisecond; all others run as before.
 *
 * For as long as something is waited for, Dawn looks at its device in a loop of `setImmediate`, each time with a new native function. Deno
 * lists all native functions that are alive and searches that list for each that is collected, so that collecting what a second of the loop
 * leaves takes many seconds, in which the GPU has nothing to do. With a pause between two looks there is little to collect.
 *
 * @param scope where `setImmediate` is
 */
export function pausePolling(scope: { setImmediate: SetImmediate } = globalThis as unknown as { setImmediate: SetImmediate }): void {
  const immediately = scope.setImmediate;
  if (paused.has(immediately)) return;
  scope.setImmediate = (callback, ...args) => isNative(callback) ? setTimeout(callback, POLL_MS, ...args) : immediately(callback, ...args);
  paused.add(scope.setImmediate);
}

/** Whether a function without a name is not written in JavaScript (bound functions have names). */
function isNative(value: (...args: unknown[]) => void): boolean {
  return value.name === "" && /\{\s*\[native code\]\s*\}$/.test(String(value));
}
