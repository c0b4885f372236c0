// A small chaos run as it could have been, for the tests of its verdict and its report: one key, two clients,
// a few faults. Tests change what they are about.

import type { FaultRecord } from '../../src/chaos/faults/injector.js';
import { makePlan } from '../../src/chaos/plan.js';
import { finalClient, type ChaosEvidence } from '../../src/chaos/run.js';
import type { HistoryOperation, HistoryOutcome } from '../../src/sim/history/file.js';

const second = 1e9;
/** When the load begins: the run has been going on for a while. */
export const loadFromNs = 2 * second;

/** An operation at a time in milliseconds after the start of the load. */
export function operation(
  c: string,
  what: Pick<HistoryOperation, 'op' | 'k'> & Partial<HistoryOperation>,
  atMs: number,
  tookMs: number,
  out: HistoryOutcome,
): HistoryOperation {
  const call = loadFromNs + atMs * 1e6;
  return { c, ...what, call, ret: call + tookMs * 1e6, out };
}

export const key = 'chaos/x/0/1';

/** Two clients that write and read one key without contradiction, and the final read. */
export function soundOperations(): HistoryOperation[] {
  return [
    operation('c1.1', { op: 'put', k: key, v: 'a' }, 100, 20, { st: 'ok', rev: 1 }),
    operation('c1.2', { op: 'get', k: key }, 130, 10, { st: 'ok', v: 'a', mod: 1, ver: 1 }),
    operation('c1.2', { op: 'cas', k: key, v: 'b', exp: 'a' }, 150, 30, { st: 'ok', rev: 2, ver: 2 }),
    operation('c1.1', { op: 'put', k: key, v: 'c' }, 1_000, 4_000, { st: 'unknown' }),
    operation('c1.2', { op: 'get', k: key }, 1_500, 900, { st: 'ok', v: 'b', mod: 2, ver: 2 }),
    operation('c1.2', { op: 'cas', k: key, v: 'd', exp: 'a' }, 3_000, 10, {
      st: 'fail',
      v: 'b',
      rev: 2,
      mod: 2,
      ver: 2,
    }),
    operation('c1.2', { op: 'delete', k: key }, 5_200, 15, { st: 'ok', rev: 3, n: 1 }),
    operation('c1.1', { op: 'put', k: key, v: 'e' }, 6_000, 12, { st: 'ok', rev: 4 }),
    operation(finalClient, { op: 'get', k: key }, 9_000, 5, { st: 'ok', v: 'e', mod: 4, ver: 1 }),
  ];
}

export function fault(part: Partial<FaultRecord> = {}): FaultRecord {
  return {
    id: 1,
    kind: 'kill',
    nodes: ['n1'],
    words: 'SIGKILL to n1',
    done: 'done',
    fromNs: loadFromNs + second,
    toNs: loadFromNs + 3 * second,
    ...part,
  };
}

export function evidence(part: Partial<ChaosEvidence> = {}): ChaosEvidence {
  const at = (seconds: number): number => loadFromNs + seconds * second;
  return {
    plan: makePlan({ seed: 7, nodes: 3, durationMs: 8_000, faults: ['kill', 'split'] }),
    clients: 2,
    keys: 1,
    operations: soundOperations(),
    faults: [
      fault(),
      fault({
        id: 2,
        kind: 'split',
        nodes: ['n1', 'n2', 'n3'],
        words: 'n1 | n2, n3',
        fromNs: at(4),
        toNs: at(5),
      }),
      fault({
        id: 3,
        kind: 'pause',
        done: 'skipped',
        words: 'every node was busy',
        fromNs: at(5),
        toNs: at(5),
      }),
    ],
    phases: [
      { node: 'n1', condition: 'leader', term: 2, fromNs: at(-1), toNs: at(1) },
      { node: 'n1', condition: 'down', term: 0, fromNs: at(1), toNs: at(3) },
      { node: 'n1', condition: 'recovering', term: 3, fromNs: at(3), toNs: at(4) },
      { node: 'n1', condition: 'follower', term: 3, fromNs: at(4), toNs: at(9) },
      { node: 'n2', condition: 'follower', term: 2, fromNs: at(-1), toNs: at(1.5) },
      { node: 'n2', condition: 'leader', term: 3, fromNs: at(1.5), toNs: at(9) },
      { node: 'n3', condition: 'follower', term: 2, fromNs: at(-1), toNs: at(9) },
    ],
    leaderships: [
      { term: 2, node: 'n1', fromNs: at(-1), toNs: at(1) },
      { term: 3, node: 'n2', fromNs: at(1.5), toNs: at(9) },
    ],
    problems: [],
    exits: [],
    noticed: [],
    convergence: { kind: 'converged', afterMs: 320 },
    finalRevision: 4,
    unreadKeys: [],
    interrupted: false,
    loadFromNs,
    loadToNs: at(8),
    endNs: at(9.1),
    ...part,
  };
}

/** A read that answers with what was overwritten before it began. */
export function staleOperations(): HistoryOperation[] {
  return [
    ...soundOperations().slice(0, -1),
    operation('c1.2', { op: 'get', k: key }, 7_000, 8, { st: 'ok', v: 'b', mod: 2, ver: 2 }),
    ...soundOperations().slice(-1),
  ];
}
