// Runs many seeds and says, for those that break something, all that is needed to look into them.

import { planOf } from '../../src/sim/plan/draw.js';
import { runSimulation } from '../../src/sim/run/simulator.js';

export interface SeedsResult {
  readonly events: number;
  readonly virtualSeconds: number;
  /** Sums over all seeds. */
  readonly coverage: Readonly<Record<string, number>>;
  /** In how many seeds each mark was met. */
  readonly seedsWith: Readonly<Record<string, number>>;
  /** One text per seed that broke something: seed, invariant, the end of the trace. */
  readonly failures: readonly string[];
}

const traceLinesShown = 40;
const failuresMax = 3;
const seedsPerTest = 5;

/** The seeds `first` .. `last` in portions that a test takes on, each as its first and its last. */
export function rangesOf(first: number, last: number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let from = first; from <= last; from += seedsPerTest) {
    ranges.push([from, Math.min(from + seedsPerTest - 1, last)]);
  }
  return ranges;
}

/** Runs the seeds `first` .. `last`, stopping after a few failures. */
export function runSeeds(first: number, last: number): SeedsResult {
  let events = 0;
  let virtualSeconds = 0;
  const coverage: Record<string, number> = {};
  const seedsWith: Record<string, number> = {};
  const failures: string[] = [];
  for (let seed = first; seed <= last && failures.length < failuresMax; seed++) {
    const plan = planOf(seed);
    const result = runSimulation(plan);
    events += result.events;
    virtualSeconds += result.virtualMs / 1000;
    for (const [mark, count] of Object.entries(result.coverage)) {
      coverage[mark] = (coverage[mark] ?? 0) + count;
      if (count > 0) seedsWith[mark] = (seedsWith[mark] ?? 0) + 1;
    }
    const [violation] = result.violations;
    if (violation === undefined) continue;
    failures.push(
      [
        `seed ${seed} (${plan.families.join(', ')}; ${plan.peerMode}; ${plan.machines.length} nodes)`,
        `breaks ${violation.id} on ${violation.where}: ${violation.message}`,
        ...result.trace.slice(-traceLinesShown),
      ].join('\n'),
    );
  }
  return { events, virtualSeconds, coverage, seedsWith, failures };
}
