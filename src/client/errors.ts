// Errors of single calls that carry more than a code. They are KvorumErrors, so that `KvorumError.is` and
// the codes work for them too. Must stay without logic: what an error means is decided where it arises, in
// `verdict` and `failures`.

import { KvorumError, type KvorumErrorOptions } from '../base/errors.js';
import type { Entry } from './entry.js';

/** A condition (`ifRevision`, `ifAbsent`) did not hold; nothing was changed. */
export class ConflictError extends KvorumError {
  override readonly name: string = 'ConflictError';
  /** The key as it was when the condition was judged; `undefined`: it did not exist. */
  readonly current: Entry | undefined;

  constructor(message: string, current: Entry | undefined, options: KvorumErrorOptions = {}) {
    super('CONFLICT', message, options);
    this.current = current;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), current: this.current };
  }
}
