// More seeds of every test run, and the plans that once broke something; see smoke.test.ts.

import { describe, expect, it } from 'vitest';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { regressions } from './regressions.js';
import { rangesOf, runSeeds } from './seeds.js';

it.each(rangesOf(61, 110))('simulated clusters keep every promise in seeds %i to %i', (first, last) => {
  expect(runSeeds(first, last).failures).toEqual([]);
});

describe('plans that once broke something', () => {
  for (const { found, plan } of regressions) {
    it(found, () => {
      expect(runSimulation(plan).violations).toEqual([]);
    });
  }
});
