// What the tests of the test cluster share: rejections that nobody handles fail the test, and what a promise
// fails with.

import { afterEach, beforeEach, expect } from 'vitest';
import { KvorumError } from '../../src/client/index.js';

/** Collects, from now on, what nobody handles in each test of the file, which must be nothing in the end. */
export function watchUnhandled(): unknown[] {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  beforeEach(() => {
    unhandled.length = 0;
    process.on('unhandledRejection', onUnhandled);
  });
  afterEach(async () => {
    await realTime();
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });
  return unhandled;
}

/** Some turns of the real loop. */
export async function realTime(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}

export async function errorOf(promise: Promise<unknown>): Promise<KvorumError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof KvorumError) return error;
    throw error;
  }
  throw new Error('did not fail');
}
