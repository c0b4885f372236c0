// What a run may do to disks beyond what crashes do, so that what is demanded afterwards can be demanded.
// Damage hits one minority of the machines, the same for the whole run: every committed entry then keeps a
// clean copy on a majority of the machines less those, which is one copy at least. A cluster of one gets
// crashes only: nobody could give it back what is damaged. Which promises hold in which run is listed in
// ../README.md.

import { KvorumError } from '../../base/errors.js';
import type { Prng } from '../../base/prng.js';
import { ruleOf, type Harm } from './fault-rules.js';
import type { DamageKind, Fault } from './faults.js';

/**
 * The kinds that runs may have. A kind is here once the product promises its outcome; the simulator carries
 * out all of them.
 */
export const damageSwitchedOn: readonly DamageKind[] = [
  'bitFlip',
  'misdirected',
  'storeOpen',
  'storeValue',
  'wipe',
];

/** How many machines of a cluster may be damaged in one run. */
export function damagedMax(nodes: number): number {
  return Math.floor((nodes - 1) / 2);
}

/** Whom damage may hit in this run: none to a minority, ascending. */
export function drawVictims(random: Prng, nodes: number): number[] {
  const count = random.integer(Math.min(1, damagedMax(nodes)), damagedMax(nodes));
  const victims = new Set<number>();
  while (victims.size < count) victims.add(random.integer(0, nodes - 1));
  return [...victims].sort((a, b) => a - b);
}

/** The machines that faults damage, ascending. */
export function damagedBy(faults: readonly Fault[]): number[] {
  return hitBy(faults, (harm) => harm !== 'none');
}

/** The machines that faults leave without their identity: they are gone for the rest of the run. */
export function goneBy(faults: readonly Fault[]): number[] {
  return hitBy(faults, (harm) => harm === 'stops');
}

function hitBy(faults: readonly Fault[], isMeant: (harm: Harm) => boolean): number[] {
  const nodes = faults.flatMap((fault) =>
    'node' in fault && isMeant(ruleOf(fault).harm(fault)) ? [fault.node] : [],
  );
  return [...new Set(nodes)].sort((a, b) => a - b);
}

/** Throws INVALID_ARGUMENT when faults damage more than can be survived, naming what. */
export function checkAtlas(nodes: number, faults: readonly Fault[]): void {
  const damaged = damagedBy(faults);
  const max = damagedMax(nodes);
  if (damaged.length > max) {
    const message =
      `the plan damages ${damaged.length} of ${nodes} machines, at most ${max} can be survived: ` +
      'damage fewer, or take more machines';
    throw new KvorumError('INVALID_ARGUMENT', message);
  }
  // Who refills itself has to hear from every other member first, and one that is gone never answers.
  const gone = goneBy(faults);
  if (gone.length > 0 && gone.length < damaged.length) {
    const message = 'the plan wipes one machine and damages another: one of the two in one plan';
    throw new KvorumError('INVALID_ARGUMENT', message);
  }
}
