// What clients ask in a run. Keys are few, so that operations meet; the first requests come before the
// cluster is formed, so that they have to wait or to fail honestly.

import type { Prng } from '../../base/prng.js';
import { theLeader, type Fault } from './faults.js';
import type { ClientPlan, PlannedOperation } from './plan.js';

export function planClients(random: Prng): ClientPlan[] {
  const nearestShare = random.pick([0, 0.5, 1]);
  return Array.from({ length: random.integer(2, 5) }, (_, i) => ({
    name: `c${i + 1}`,
    concurrency: random.pick([1, 2, 8]),
    timeoutMs: random.pick([1_000, 5_000, 20_000]),
    ...(random.chance(nearestShare) ? { readFrom: 'nearest' } : {}),
  }));
}

/** How soon after a moment requests come: within the time that a leader without a quorum goes on. */
const closeMs = 300;

/** Long runs ask less in a second: what they are for is time, not work. */
const longRunMs = 100_000;

export function planOperations(
  random: Prng,
  clients: readonly ClientPlan[],
  safetyMs: number,
  faults: readonly Fault[],
): PlannedOperation[] {
  const perSecond = random.pick(safetyMs > longRunMs ? [1, 2] : [2, 5, 10]);
  const keys = Array.from({ length: random.integer(2, 8) }, (_, i) => `key/${i}`);
  const readShare = random.pick([0.2, 0.5, 0.7]);
  const valueBytesMax = random.pick([16, 16, 300, 20_000]);
  // Where something breaks or heals is where old and new meet: in half of the runs most requests come there.
  const moments = random.chance(0.5) ? drawMoments(random, faults, safetyMs) : [];
  const operations: PlannedOperation[] = [];
  for (const client of clients.keys()) {
    let atMs = random.integer(0, 1_000);
    while (atMs < safetyMs) {
      const isRead = random.chance(readShare);
      const isMoved = moments.length > 0 && random.chance(0.7);
      operations.push({
        atMs: isMoved ? Math.min(safetyMs - 1, random.pick(moments) + random.integer(0, closeMs)) : atMs,
        client,
        kind: isRead ? (random.chance(0.25) ? 'range' : 'get') : random.chance(0.2) ? 'delete' : 'put',
        key: random.pick(keys),
        condition: random.chance(0.7) ? 'any' : random.chance(0.2) ? 'absent' : 'known',
        valueBytes: random.chance(0.8) ? 16 : random.integer(16, valueBytesMax),
      });
      atMs += 1 + Math.floor(-Math.log(1 - random.fraction()) * (1_000 / perSecond));
    }
  }
  return operations.sort((a, b) => a.atMs - b.atMs);
}

/**
 * When a cut begins or ends, a crash or pause begins, and just before damage: what is newest then is not yet
 * in the store.
 */
function momentsOf(faults: readonly Fault[], safetyMs: number): number[] {
  return faults
    .flatMap((fault) => {
      if (fault.kind === 'cut') return [fault.atMs, fault.untilMs];
      if (fault.kind === 'damage') return [fault.atMs - closeMs - 50];
      return fault.kind === 'crash' || fault.kind === 'pause' ? [fault.atMs] : [];
    })
    .filter((atMs) => atMs > 0 && atMs < safetyMs);
}

/** Few of them in some runs, so that many requests meet at each. */
function drawMoments(random: Prng, faults: readonly Fault[], safetyMs: number): readonly number[] {
  // A leader that is cut off answers, and is succeeded, for less than an election timeout.
  const depositions = faults.filter(
    (fault) => fault.kind === 'cut' && fault.ways.some(([from]) => from === theLeader.name),
  );
  const chosen = depositions.length > 0 && random.chance(0.7) ? depositions : faults;
  const all = momentsOf(chosen, safetyMs);
  if (all.length === 0) return [];
  return Array.from({ length: random.pick([3, 10, 30]) }, () => random.pick(all));
}
