// How tests wait: for conditions, with one patience for all of them. A test never asserts how long something
// took or how much was done in a time: on a busy machine everything is late. Where something is slow by
// intent, only order and lower bounds are asserted. No test has a limit of its own; `test/tidy.test.ts` sees
// to that.

import { inspect } from 'node:util';

/** How long anything may take that a test waits for. Only what never comes gets there. */
export const patienceMs = 300_000;

/** What vitest gives a test or a hook: so much that the wait inside fails first, and says what is missing. */
export const testTimeoutMs = 2 * patienceMs;

const lookMsMin = 2;
const lookMsMax = 50;

/** Thrown by a condition that can never hold any more: the wait ends at once. */
export class InVain extends Error {}

/**
 * Looks again and again until `condition` gives something else than `false` or `undefined`, which it returns.
 * A condition that throws does not hold yet. `what` ends the sentence "waited in vain for …"; `seen` tells
 * what there was to see in the end, by default what the condition gave or threw last.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  seen?: () => unknown,
): Promise<Exclude<T, false | undefined>> {
  const giveUpAt = performance.now() + patienceMs;
  let last: unknown;
  for (let lookMs = lookMsMin; ; lookMs = Math.min(lookMs * 1.2, lookMsMax)) {
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
      last = value;
    } catch (error) {
      if (error instanceof InVain) throw error;
      last = error;
    }
    if (performance.now() > giveUpAt) break;
    await aWhile(lookMs);
  }
  const words = inspect(seen === undefined ? last : seen());
  throw new Error(`waited ${patienceMs / 1_000} s in vain for ${what}; seen last: ${words}`, { cause: last });
}

/**
 * Lets real time pass: before a look at what must not have happened, or between two things that a test does.
 * Never for something to come about: it may take longer.
 */
export function aWhile(delayMs = 80): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** The processor's time in milliseconds that this process spent on `work`: what others do does not count. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
