// Reading records throws what is wrong with them; callers that answer through callbacks need it as a value.

import { KvorumError } from '../../base/errors.js';

/** Runs `work`; the KvorumError that it threw. Anything else is a bug and goes through. */
export function failureOf(work: () => void): KvorumError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    return error;
  }
}
