// Hunts one mutant: runs its build in a child process, seed after seed, until a promise breaks. A kill counts
// only if the product as it is passes the same seed: otherwise that seed is a finding about the product, or
// the simulator cries wolf, and the hunt goes on with the next one.

import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Mutant, StaleMutantError } from './mutant.js';
import type { Workshop } from './workshop.js';

export type Verdict = 'killed' | 'survived' | 'stale' | 'equivalent' | 'failed';

export interface Hunted {
  readonly id: string;
  readonly name: string;
  readonly verdict: Verdict;
  /** The seed that killed it. */
  readonly seed?: number;
  /** Seeds run, the killing one included. */
  readonly seeds: number;
  /** The promise that broke first; `hang` when a run did not come to its end. */
  readonly violation?: string;
  /** What it said; why it is stale, equivalent or failed. */
  readonly words?: string;
  /** Seeds in which the product as it is breaks a promise, too. */
  readonly unsoundSeeds: readonly number[];
  readonly seconds: number;
}

export interface HuntOptions {
  readonly workshop: Workshop;
  readonly firstSeed: number;
  readonly seedsMax: number;
  onProgress(mutant: Mutant, seeds: number): void;
}

interface SeedReport {
  readonly seed: number;
  readonly violation?: { readonly id: string; readonly where: string; readonly message: string };
}

const childPath = fileURLToPath(new URL('seeds.js', import.meta.url));
/** A seed takes about a second; one that takes this long never ends. */
const seedPatienceMs = 180_000;

const children = new Set<ChildProcess>();

/** Ends all hunts at once. */
export function killHunts(): void {
  for (const child of children) child.kill('SIGKILL');
}

export async function hunt(mutant: Mutant, options: HuntOptions): Promise<Hunted> {
  const { id, name, equivalent } = mutant;
  const startedMs = performance.now();
  const unsoundSeeds: number[] = [];
  const end = (verdict: Verdict, facts: Partial<Hunted> = {}): Hunted => ({
    ...{ id, name, verdict, seeds: 0, unsoundSeeds },
    ...facts,
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
  });
  if (equivalent !== undefined) return end('equivalent', { words: equivalent });
  const { workshop, firstSeed, seedsMax } = options;
  try {
    const folder = workshop.make(mutant);
    const endSeed = firstSeed + seedsMax;
    let seeds = 0;
    for (let next = firstSeed; next < endSeed;) {
      const last = await runSeeds(folder, next, endSeed - next, () => options.onProgress(mutant, ++seeds));
      if (last === 'ended') return end('failed', { seeds, words: 'the child process ended by itself' });
      const violation = last?.violation;
      if (last === undefined || violation === undefined) break;
      if (await isSound(workshop, last.seed)) {
        const { id: promise, message: words } = violation;
        return end('killed', { seeds, seed: last.seed, violation: promise, words });
      }
      unsoundSeeds.push(last.seed);
      next = last.seed + 1;
    }
    return end('survived', { seeds });
  } catch (error) {
    if (!(error instanceof StaleMutantError)) throw error;
    return end('stale', { words: error.message });
  } finally {
    workshop.discard(mutant);
  }
}

/** Whether the product as it is keeps every promise in the seed. */
async function isSound({ original }: Workshop, seed: number): Promise<boolean> {
  const report = await runSeeds(original, seed, 1, () => undefined);
  return report !== 'ended' && report !== undefined && report.violation === undefined;
}

/** The last report of a child that runs these seeds; `ended` when it ended without one, as when killed. */
function runSeeds(
  folder: string,
  first: number,
  count: number,
  onSeed: () => void,
): Promise<SeedReport | 'ended' | undefined> {
  return new Promise((resolve) => {
    const child = fork(childPath, [folder, String(first), String(count)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--max-old-space-size=300'],
    });
    children.add(child);
    let last: SeedReport | undefined;
    let isHung = false;
    const patience = setTimeout(() => {
      isHung = true;
      child.kill('SIGKILL');
    }, seedPatienceMs);
    child.on('message', (report: SeedReport) => {
      last = report;
      patience.refresh();
      onSeed();
    });
    child.once('close', (code) => {
      clearTimeout(patience);
      children.delete(child);
      const seed = (last?.seed ?? first - 1) + 1;
      const violation = { id: 'hang', where: 'simulator', message: `seed ${seed} does not come to its end` };
      if (isHung) resolve({ seed, violation });
      else resolve(code === 0 ? last : 'ended');
    });
  });
}
