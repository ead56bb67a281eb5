/**
 * An error that a user can act on: its message says what was wrong, what was found, what was expected and what to do next.
 * The tasks print the message alone (no stack) and exit with status 1.
 */
export class MaspError extends Error {
  /** The class's name. */
  override name = "MaspError";
}
