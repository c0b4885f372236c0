// Many small clusters under random faults. This finds what nobody thought of, before the big simulator does;
// what it finds becomes a scenario. A failure names its seed: run it alone with KVORUM_SEED.

import { describe, expect, it } from 'vitest';
import { emptyCoverage, randomRun } from './random-cluster.js';

const firstSeed = Number(process.env['KVORUM_SEED'] ?? 1);
const seeds = process.env['KVORUM_SEED'] === undefined ? Number(process.env['KVORUM_SEEDS'] ?? 150) : 1;
const stepsPerSeed = 4_000;

describe('random clusters', () => {
  const coverage = emptyCoverage();

  it('keep every promise under loss, reordering, crashes, cuts and slow disks, and agree when healed', () => {
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) randomRun(seed, stepsPerSeed, coverage);
  });

  it.runIf(seeds > 1)('get into the situations that matter', () => {
    for (const [situation, times] of Object.entries(coverage)) {
      expect(times, `${situation} in ${seeds} runs`).toBeGreaterThan(seeds / 50);
    }
  });
});
