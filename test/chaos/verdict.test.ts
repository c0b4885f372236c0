// What a chaos run is judged by: a sound one passes, and each thing that must not be is found by its check.

import { describe, expect, test } from 'vitest';
import type { FaultRecord } from '../../src/chaos/faults/injector.js';
import type { ChaosEvidence } from '../../src/chaos/run.js';
import { judge, type Verdict } from '../../src/chaos/verdict.js';
import { evidence, fault, key, loadFromNs, operation, soundOperations, staleOperations } from './evidence.js';

/** The names of the checks with that result. */
function named(verdict: Verdict, result: string): string[] {
  return verdict.checks.filter((check) => check.result === result).map(({ name }) => name);
}

function judged(part: Partial<ChaosEvidence>): Verdict {
  return judge(evidence(part));
}

describe('a verdict', () => {
  test('a sound run holds', () => {
    const verdict = judge(evidence());
    expect(verdict.result).toBe('holds');
    expect(named(verdict, 'holds')).toHaveLength(verdict.checks.length);
    expect(verdict.words).toContain('9 operations through 2 faults');
  });

  test('a run in which nothing succeeded shows nothing', () => {
    const none = { operations: [], finalRevision: 0 };
    expect(judged(none).result).toBe('undecided');
    expect(judged(none).words).toMatch(/no operation succeeded \(0 operations through/);
    expect(judged({ ...none, interrupted: true }).result).toBe('interrupted');
    const ofHistory = ['linearizable', 'revisions', 'exactly once', 'durable'];
    expect(named(judged(none), 'skipped')).toEqual(ofHistory);
    expect(named(judged({ leaderships: [] }), 'skipped')).toEqual(['replicas agree']);
  });

  test('counts in words that read well', () => {
    const words = (part: Partial<ChaosEvidence>, name: string): string | undefined =>
      judged(part).checks.find((check) => check.name === name)?.words;
    const one = evidence().leaderships.slice(0, 1);
    expect(one).toHaveLength(1);
    expect(words({ leaderships: one }, 'replicas agree')).toMatch(/; one leader, in one term$/);
    expect(words({ leaderships: [...one, ...one] }, 'replicas agree')).toMatch(
      /; one leader in each of 2 terms$/,
    );
    expect(words({ finalRevision: 12_345 }, 'exactly once')).toMatch(/the store counts 12,345 writes/);
    expect(words({ leaderships: [] }, 'replicas agree')).toBe('no leader was seen');
    expect(words({ unreadKeys: [key] }, 'recovers')).toMatch(/^1 key could not/);
    const stale = words({ operations: staleOperations() }, 'revisions');
    expect(stale).toMatch(/a later version had been told of before it was called: c1\.1: put/);
  });

  test('a stale read is found, with the few operations that prove it', () => {
    const verdict = judged({ operations: staleOperations() });
    expect(verdict.result).toBe('violated');
    expect(named(verdict, 'violated')).toContain('linearizable');
    const proof = verdict.checks.find(({ name }) => name === 'linearizable')?.proof ?? [];
    expect(proof.length).toBeGreaterThan(0);
    expect(proof.length).toBeLessThan(5);
    expect(proof).toContainEqual(staleOperations().at(-2));
  });

  test('a lost write is found', () => {
    const operations = soundOperations();
    operations[operations.length - 1] = operation('final', { op: 'get', k: key }, 9_000, 5, {
      st: 'ok',
      v: null,
      ver: 0,
    });
    const verdict = judged({ operations });
    expect(named(verdict, 'violated')).toContain('durable');
    expect(named(verdict, 'violated')).toContain('linearizable');
  });

  test('a write that was applied twice is found by its versions and by the count', () => {
    const operations = soundOperations();
    operations[operations.length - 1] = operation('final', { op: 'get', k: key }, 9_000, 5, {
      st: 'ok',
      v: 'e',
      mod: 5,
      ver: 2,
    });
    expect(named(judged({ operations, finalRevision: 5 }), 'violated')).toContain('exactly once');
    // Four acknowledged, one unknown: six are too many, three too few.
    expect(judged({ finalRevision: 5 }).result).toBe('holds');
    for (const finalRevision of [3, 6]) {
      expect(named(judged({ finalRevision }), 'violated')).toEqual(['exactly once']);
    }
  });

  test('replicas that differ, a cluster that stays apart and a node that ends are found', () => {
    expect(named(judged({ problems: ['n1 and n2 both lead in term 3'] }), 'violated')).toEqual([
      'replicas agree',
    ]);
    const apart = judged({ convergence: { kind: 'not', reason: 'no leader' }, finalRevision: undefined });
    expect(named(apart, 'violated')).toEqual(['recovers']);
    // What could be read is compared all the same.
    expect(named(apart, 'skipped')).toEqual([]);
    const unread = { convergence: { kind: 'not', reason: 'no leader' }, unreadKeys: [key] } as const;
    const operations = soundOperations().slice(0, -1);
    expect(named(judged({ ...unread, operations, finalRevision: undefined }), 'skipped')).toEqual([
      'durable',
    ]);
    expect(named(judged({ unreadKeys: [key] }), 'violated')).toEqual(['recovers']);
    const exit = { nodeId: 'n1', how: 'code 1', lastLine: 'INTERNAL: a bug' };
    expect(named(judged({ exits: [exit] }), 'violated')).toEqual(['nodes stay up']);
    const failed = (code: string, isOutOfSpace: boolean, faults: readonly FaultRecord[] = []): unknown =>
      judged({ exits: [{ ...exit, failure: { code, isOutOfSpace } }], faults }).result;
    expect(failed('INTERNAL', false)).toBe('violated');
    expect(failed('DISK', true)).toBe('holds');
    // What is said is for people: it decides nothing.
    const words = { ...exit, lastLine: 'cannot create x: ENOSPC' };
    expect(named(judged({ exits: [words] }), 'violated')).toEqual(['nodes stay up']);
    expect(failed('CORRUPT', false)).toBe('violated');
    expect(failed('CORRUPT', false, [fault({ kind: 'rot', nodes: ['n1'] })])).toBe('holds');
    expect(failed('CORRUPT', false, [fault({ kind: 'rot', nodes: ['n2'] })])).toBe('violated');
  });

  test('damage that nobody notices is found', () => {
    const damage = fault({ kind: 'damage', words: 'bit 3 of byte 9 flipped' });
    const noticed = (atNs: number): ChaosEvidence['noticed'] => [{ nodeId: 'n1', atNs }];
    expect(named(judged({ faults: [damage] }), 'violated')).toEqual(['damage is noticed']);
    expect(named(judged({ faults: [damage], noticed: noticed(loadFromNs) }), 'violated')).toHaveLength(1);
    expect(judged({ faults: [damage], noticed: noticed(damage.toNs + 1) }).result).toBe('holds');
    const again = { ...damage, id: 2, fromNs: damage.toNs + 5, toNs: damage.toNs + 9 };
    const both = judged({ faults: [damage, again], noticed: noticed(damage.toNs + 1) });
    expect(named(both, 'violated')).toHaveLength(1);
  });

  test('nothing is called broken that may be the work of operations that are missing', () => {
    const part = { interrupted: true, convergence: { kind: 'skipped' }, finalRevision: undefined } as const;
    const lostLoad = 'load process c3 ended with SIGTERM';
    expect(judged({ ...part, lostLoad }).result).toBe('interrupted');
    const verdict = judged({ ...part, lostLoad, operations: staleOperations() });
    expect(verdict.result).toBe('undecided');
    const found = verdict.checks.find(({ name }) => name === 'linearizable');
    expect(found?.words).toMatch(/^load process c3 ended with SIGTERM, and what it did last is not known/);
    // What the nodes say of themselves does not depend on it.
    expect(judged({ ...part, lostLoad, problems: ['n1 and n2 both lead'] }).result).toBe('violated');
  });

  test('a run that was cut short is not called good', () => {
    const part = { interrupted: true, convergence: { kind: 'skipped' }, finalRevision: undefined } as const;
    expect(judged(part).result).toBe('interrupted');
    expect(judged({ ...part, operations: staleOperations() }).result).toBe('violated');
  });
});
