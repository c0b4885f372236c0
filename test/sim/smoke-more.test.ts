// More seeds of every test run, and the plans that once broke something; see smoke.test.ts.

import { describe, expect, it } from 'vitest';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { regressions } from './regressions.js';
import { runSeeds } from './seeds.js';

it('simulated clusters keep every promise in seeds 61 to 110', () => {
  expect(runSeeds(61, 110).failures).toEqual([]);
});

describe('plans that once broke something', () => {
  for (const { found, plan } of regressions) {
    it(found, () => {
      expect(runSimulation(plan).violations).toEqual([]);
    });
  }
});
