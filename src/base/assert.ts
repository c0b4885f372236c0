// Assertions for what must hold if the code is right. A failure is a bug in kvorum, never bad input and
// never a fault of the machine, so nothing catches it: the node stops rather than continue on a state
// nobody understands.

/** A broken invariant of kvorum itself. Fatal by design; never retried. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws `AssertionError` with `message` unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the `default` of an exhaustive switch: a new union member that is not handled does not compile. */
export function assertNever(value: never): never {
  throw new AssertionError(`unhandled case: ${JSON.stringify(value)}`);
}

/** Returns `value`, which the caller knows to be defined, or throws `AssertionError`. */
export function defined<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new AssertionError(`${what} is undefined`);
  return value;
}
