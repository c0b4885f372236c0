// The second half of the seeds of every test run; see smoke.test.ts.

import { expect, it } from 'vitest';
import { runSeeds } from './seeds.js';

it('simulated clusters keep every promise in seeds 56 to 110', () => {
  expect(runSeeds(56, 110).failures).toEqual([]);
}, 300_000);
