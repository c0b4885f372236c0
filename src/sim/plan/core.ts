// Who has to come to rest at the end of a run, and what stays wrong for ever elsewhere. Drawn so that the
// core can do it: it is a majority, and nobody outside it is needed. Which shapes are left out, because no
// promise covers them, is listed in ../README.md.

import type { Prng } from '../../base/prng.js';
import { damagedBy, goneBy } from './fault-atlas.js';
import type { Aftermath, CorePlan, Fault } from './faults.js';
import { crown } from './dramas.js';

/** `stuck` more often than the others: it matters only where that node led, which is seldom. */
const aftermaths: readonly Aftermath[] = [
  'dead',
  'cut',
  'deaf',
  'mute',
  'flapping',
  'sick',
  'stuck',
  'stuck',
  'stuck',
];

/** Faults by which whoever is to stay wrong for ever is likely to lead when the others heal. */
export function crownBeforeHealing(random: Prng, safetyMs: number, nodes: number, core: CorePlan): Fault[] {
  const [left, ...more] = core.others;
  if (left === undefined || more.length > 0 || left.state === 'dead' || left.state === 'sick') return [];
  if (nodes < 3 || random.chance(0.4)) return [];
  return crown(nodes, left.node, safetyMs - 2_200, 1_700);
}

/** `undefined`: everything heals. */
export function planCore(random: Prng, nodes: number, faults: readonly Fault[]): CorePlan | undefined {
  // Who was rolled back cannot know it: what may be demanded is that the others go on.
  const rolledBack = faults.flatMap((fault) => (fault.kind === 'rollback' ? [fault.node] : []));
  const gone = [...goneBy(faults), ...rolledBack];
  // Who refills itself needs an answer from every other member.
  const left = new Set<number>(gone);
  const majority = Math.floor(nodes / 2) + 1;
  const mayLose = damagedBy(faults).length === 0 && nodes > majority && random.chance(0.5);
  const losses = mayLose ? random.integer(1, nodes - majority) : 0;
  while (left.size < Math.max(losses, gone.length)) left.add(random.integer(0, nodes - 1));
  if (left.size === 0) return undefined;
  const positions = Array.from({ length: nodes }, (_, i) => i);
  return {
    nodes: positions.filter((node) => !left.has(node)),
    others: positions
      .filter((node) => left.has(node))
      .map((node) => ({ node, state: gone.includes(node) ? 'sick' : random.pick(aftermaths) })),
  };
}
