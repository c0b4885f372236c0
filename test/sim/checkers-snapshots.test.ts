// The checkers of the consensus where logs begin after 1, members replace others in the same process, and
// disks were damaged: what is legal then must be silent, and what is not must still be found.

import { describe, expect, it } from 'vitest';
import { checkReplicas } from '../../src/sim/checkers/raft/replica-equality.js';
import { Violations } from '../../src/sim/checkers/violations.js';
import { decodeApplied, encodeApplied } from '../../src/kv/records/schema.js';
import type { StoreRecord } from '../../src/kv/store.js';
import { Bench as StoreBench, command, del, put } from '../kv/helpers.js';
import { Bench, type Fake } from './checkers-bench.js';

const stored = (from: string, matchIndex: number, term = 2) =>
  ({ kind: 'appendEntriesResult', from, to: 'b', term, success: true, matchIndex }) as const;
const granted = (from: string, to: string, term: number) =>
  ({ kind: 'requestVoteResult', from, to, term, voteGranted: true, refusal: undefined }) as const;

/** Both have three entries, of which all are committed and applied. */
const whole: Fake = { term: 2, votedFor: 'b', terms: [1, 1, 2], committed: 3, applied: 3 };

describe('logs that are cut', () => {
  it('a prefix that the store holds may go, also over restarts', () => {
    const bench = new Bench()
      .see('b', whole)
      .see('a', whole)
      .see('a', { ...whole, base: 2 });
    bench.see('a', { ...whole, base: 3, terms: [1, 1, 2, 2] });
    bench.see('a', { ...whole, base: 3, terms: [1, 1, 2, 2] }, 2);
    bench.see('a', { ...whole, base: 3, terms: [1, 1, 2, 2], role: 'leader', votedFor: 'a', term: 3 }, 2);
    expect(bench.ids).toEqual([]);
  });

  it('but not what the store does not hold durably', () => {
    const early = { ...whole, base: 2, durablyApplied: 1 };
    expect(new Bench().see('b', whole).see('a', early).ids).toEqual(['indexOrder']);
  });

  it('a log never grows at its beginning', () => {
    const bench = new Bench().see('a', { ...whole }).see('a', { ...whole, base: 2 });
    expect(bench.see('a', { ...whole, base: 1 }).ids).toContain('monotonicState');
  });

  it('it begins after an entry that is committed, the very one', () => {
    const base = { ...whole, base: 3 };
    expect(new Bench().see('b', whole).see('a', base).ids).toEqual([]);
    expect(new Bench().see('a', base).ids).toContain('logMatching');
    const uncommitted = { ...whole, committed: 1, applied: 1 };
    expect(new Bench().see('b', uncommitted).see('a', base).ids).toContain('stateMachineSafety');
    const other = { ...base, terms: [1, 1, 1] };
    expect(new Bench().see('b', whole).see('a', other).ids).toContain('stateMachineSafety');
  });

  it('what follows the base is compared as ever', () => {
    const log = { ...whole, base: 2, terms: [1, 1, 2, 2] };
    expect(new Bench().see('b', { ...log, base: 0 }).see('a', log).ids).toEqual([]);
    const differs = { ...log, payloads: { 4: 9 } };
    expect(new Bench().see('b', { ...log, base: 0 }).see('a', differs).ids).toContain('logMatching');
    const commits = { ...log, committed: 4, term: 3 };
    const bench = new Bench().see('b', { ...commits, base: 0 });
    expect(bench.see('a', { ...commits, terms: [1, 1, 2, 3] }).ids).toContain('stateMachineSafety');
  });

  it('a new leader whose log begins after what is committed lacks nothing', () => {
    const leads = { ...whole, role: 'leader', term: 3, votedFor: 'a' };
    expect(new Bench().see('b', whole).see('a', { ...leads, base: 3 }).ids).toEqual([]);
    // Committed before, though seen so only when the term had begun.
    const late = new Bench().see('b', { ...whole, term: 3, votedFor: 'a' });
    expect(late.see('a', { ...leads, base: 3 }).ids).toEqual([]);
    const short = { ...leads, base: 2, terms: [1, 1], committed: 2, applied: 2 };
    expect(new Bench().see('b', whole).see('a', short).ids).toContain('leaderCompleteness');
  });

  it('the state at the base is the state of all others there', () => {
    const hashes = { 3: 'h3' };
    const bench = (hash: string): Bench =>
      new Bench()
        .see('b', { ...whole, stateHashes: hashes })
        .see('a', { ...whole, base: 3, stateHashes: { 3: hash } });
    expect(bench('h3').ids).toEqual([]);
    expect(bench('other').ids).toEqual(['stateMachineSafety']);
  });

  it('what was applied durably is there after a restart', () => {
    const before = new Bench().see('a', { ...whole, durablyApplied: 2 });
    expect(before.see('a', { ...whole, committed: 2, applied: 2 }, 2).ids).toEqual([]);
    const after = new Bench().see('a', { ...whole, durablyApplied: 2 });
    expect(after.see('a', { ...whole, committed: 1, applied: 1 }, 2).ids).toEqual(['monotonicState']);
  });
});

describe('snapshots that are installed', () => {
  const far: Fake = { term: 3, votedFor: 'b', terms: [1, 1, 2, 3, 3], committed: 5, applied: 5 };
  const installed = { ...far, base: 5 };

  it('over a log that contradicts it, whatever of that was acknowledged', () => {
    const conflicting: Fake = { term: 2, terms: [1, 1, 2, 2, 2, 2], committed: 2, applied: 2 };
    const bench = new Bench().see('b', far).see('a', conflicting).send(stored('a', 6));
    expect(bench.see('a', installed, 1.001).ids).toEqual([]);
    expect(bench.see('a', installed, 2).ids).toEqual([]);
  });

  it('over a log that ends before it', () => {
    const behind: Fake = { term: 2, terms: [1, 1], committed: 2, applied: 2 };
    expect(
      new Bench().see('b', far).see('a', behind).send(stored('a', 2)).see('a', installed, 1.001).ids,
    ).toEqual([]);
  });

  it('"retain log entries following it": not over a log that goes on from it', () => {
    const longer = { ...far, terms: [...(far.terms ?? []), 3] };
    const bench = new Bench()
      .see('b', longer)
      .see('a', longer)
      .send(stored('a', 6, 3));
    expect(bench.see('a', installed, 1.001).ids).toContain('durableAcknowledgement');
  });
});

describe('members that lost their disk', () => {
  const rebuilt: Fake = { term: 2, votedFor: 'a', terms: [1], committed: 1, applied: 1, catchingUp: true };

  it('may forget what they acknowledged and whom they voted for', () => {
    const bench = new Bench()
      .see('b', whole)
      .see('a', whole)
      .send(stored('a', 3))
      .send(granted('a', 'b', 2));
    expect(bench.seeRepaired('a', rebuilt, 2.001).see('a', rebuilt, 3).ids).toEqual([]);
  });

  it('also when the rebuilt member was not seen before it crashed again', () => {
    const bench = new Bench().see('b', whole).see('a', whole).send(stored('a', 3));
    expect(bench.seeRepaired('a', rebuilt, 3).ids).toEqual([]);
  });

  it('also when the same happens before it has caught up', () => {
    const bench = new Bench().see('b', whole).see('a', whole).seeRepaired('a', rebuilt, 2.001);
    bench.see('a', { ...whole, votedFor: 'a', catchingUp: true }, 2.001).send(stored('a', 3));
    expect(bench.seeRepaired('a', rebuilt, 4).ids).toEqual([]);
  });

  it('but not without saying so, and not what they acknowledge from then on', () => {
    const bench = (): Bench => new Bench().see('b', whole).see('a', whole).send(stored('a', 3));
    const silent = { ...rebuilt, catchingUp: false };
    expect(bench().seeRepaired('a', silent, 2.001).ids).toContain('durableAcknowledgement');
    const later = bench()
      .seeRepaired('a', rebuilt, 2.001)
      .see('a', { ...whole, catchingUp: true }, 2.001);
    later.send(stored('a', 3));
    expect(later.see('a', rebuilt, 3).ids).toContain('durableAcknowledgement');
  });

  it('neither vote nor stand for election until they have caught up', () => {
    const bench = (): Bench => new Bench().see('b', whole).see('a', whole).seeRepaired('a', rebuilt, 2.001);
    expect(bench().send(granted('a', 'b', 3)).ids).toContain('catchingUpVote');
    const candidacy = { kind: 'requestVote', from: 'a', to: 'b', term: 3 } as const;
    expect(bench().send(candidacy).ids).toContain('catchingUpVote');
    expect(bench().send({ kind: 'preVote', from: 'a', to: 'b', term: 3 }).ids).toContain('catchingUpVote');
    expect(bench().send({ ...granted('a', 'b', 3), voteGranted: false }).ids).toEqual([]);
    const caughtUp = bench().see('a', { ...whole, votedFor: 'a' }, 2.001);
    expect(caughtUp.send(granted('a', 'b', 3)).ids).toEqual([]);
  });

  it('may not begin below the term of a leader that they followed', () => {
    const bench = (): Bench => new Bench().see('b', whole).see('a', whole).send(stored('a', 3));
    expect(bench().seeRepaired('a', { ...rebuilt, term: 1 }, 2.001).ids).toContain('durableVote');
    expect(bench().seeRepaired('a', rebuilt, 2.001).ids).toEqual([]);
  });

  it('may not have a vote left in a term in which they voted', () => {
    const bench = new Bench()
      .see('b', whole)
      .see('a', whole)
      .send(granted('a', 'b', 2));
    expect(bench.seeRepaired('a', { ...rebuilt, votedFor: undefined }, 2.001).ids).toEqual(['durableVote']);
  });

  it('may not vote before their disk has again all that was committed', () => {
    const bench = (): Bench => new Bench().see('b', whole).see('a', whole).seeRepaired('a', rebuilt, 2.001);
    const soon = { ...rebuilt, catchingUp: false };
    expect(bench().see('a', soon, 2.001).ids).toEqual(['durableAcknowledgement']);
    expect(bench().see('a', soon, 3).ids).toContain('durableAcknowledgement');
    expect(bench().see('a', { ...whole, votedFor: 'a' }, 2.001).ids).toEqual([]);
  });

  it('and never again in a term in which they voted', () => {
    const bench = new Bench()
      .see('b', whole)
      .see('a', whole)
      .send(granted('a', 'b', 1))
      .send(granted('a', 'b', 2));
    bench
      .seeRepaired('a', rebuilt, 2.001)
      .see('a', rebuilt, 3)
      .see('a', { ...whole, votedFor: 'a' }, 3);
    expect(bench.ids).toEqual([]);
    expect(bench.send(granted('a', 'c', 1)).ids).toEqual(['durableVote']);
    expect(bench.send(granted('a', 'c', 2)).ids).toEqual(['durableVote', 'durableVote']);
  });
});

describe('what leaves a node', () => {
  it('an acknowledgement of what is not durable yet', () => {
    const writing = { ...whole, durable: 2 };
    expect(new Bench().see('a', writing).send(stored('a', 2)).ids).toEqual([]);
    expect(new Bench().see('a', writing).send(stored('a', 3)).ids).toEqual(['durableAcknowledgement']);
    // An answer to a leader of the past may speak of what was replaced since.
    expect(new Bench().see('a', writing).send(stored('a', 3, 1)).ids).toEqual([]);
  });

  it('a vote that is not durable yet', () => {
    const bench = (): Bench => new Bench().see('a', whole).start('a', whole).vote('a', 1, 3, 'c');
    expect(bench().send(granted('a', 'c', 3)).ids).toEqual(['durableVote']);
    expect(
      bench()
        .persisted('a', 1)
        .send(granted('a', 'c', 3)).ids,
    ).toEqual([]);
    // The same vote, put out again with a later commit index.
    expect(
      bench()
        .persisted('a', 1)
        .vote('a', 2, 3, 'c')
        .send(granted('a', 'c', 3)).ids,
    ).toEqual([]);
    expect(
      bench()
        .start('a', whole)
        .send(granted('a', 'c', 3)).ids,
    ).toEqual([]);
    const own = new Bench().see('a', whole).start('a', whole).vote('a', 1, 3, 'a');
    expect(own.send({ kind: 'requestVote', from: 'a', to: 'b', term: 3 }).ids).toEqual(['durableVote']);
  });

  it('more than may be in flight', () => {
    const leads = { ...whole, role: 'leader', votedFor: 'a' };
    expect(new Bench().see('a', { ...leads, inFlight: 4 }).ids).toEqual([]);
    expect(new Bench().see('a', { ...leads, inFlight: 5 }).ids).toEqual(['bounds']);
  });
});

/** What a state machine wrote: versions, tombstones and sessions. */
function storeRecords(): StoreRecord[] {
  const bench = new StoreBench();
  for (let i = 0; i < 8; i++) bench.run(put(`k${i % 5}`, `v${i}`));
  bench.run(del('k3'));
  bench.one(command(put('other', 'session'), 1, { session: 'two' }));
  bench.write();
  const sorted = [...bench.store.records].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([key, value]) => ({ key, value }));
}

describe('stores of replicas', () => {
  const judge = (...stores: (readonly StoreRecord[])[]): string[] => {
    const violations = new Violations(() => 0);
    checkReplicas(
      stores.map((records, i) => ({ name: `n${i}`, records })),
      violations,
    );
    return violations.list.map(({ id, message }) => `${id}: ${message}`);
  };
  const store = storeRecords();
  /** The same store with the last record of a kind changed; `undefined`: without it. */
  const changed = (prefix: string, change: (value: Uint8Array) => Uint8Array | undefined): StoreRecord[] => {
    const place = store.findLastIndex(({ key }) => key.startsWith(prefix));
    const record = store[place] as StoreRecord;
    const value = change(Uint8Array.from(record.value));
    return [
      ...store.slice(0, place),
      ...(value === undefined ? [] : [{ ...record, value }]),
      ...store.slice(place + 1),
    ];
  };
  const flip = (at: number) => (value: Uint8Array) =>
    value.map((byte, i) => (i === (at + value.length) % value.length ? byte ^ 1 : byte));

  it('equal ones', () => {
    expect(store.length).toBeGreaterThan(10);
    expect(judge(store, [...store], [])).toEqual([]);
  });

  it('one record that differs, at the same index', () => {
    const contradiction = expect.stringContaining('replicaEquality: the hash of its tables is') as unknown;
    expect(judge(store, changed('S/', flip(-1)))).toEqual([
      contradiction,
      expect.stringContaining('replicaEquality: at index'),
    ]);
    expect(
      judge(
        store,
        changed('S/', () => undefined),
      ),
    ).toHaveLength(2);
    expect(judge(changed('S/', flip(-1)))).toEqual([contradiction]);
  });

  it('a store that is not what it says it is', () => {
    expect(judge(changed('V/', flip(-1)))).toEqual([expect.stringContaining('not as it was written')]);
    expect(judge(changed('L/', flip(7)))).toEqual([expect.stringContaining('not as it was written')]);
    const otherHash = (value: Uint8Array): Uint8Array => {
      const applied = decodeApplied(value);
      return encodeApplied({ ...applied, contentLow: (applied.contentLow ^ 1) >>> 0 });
    };
    expect(judge(changed('M/applied', otherHash))).toEqual([expect.stringContaining('content hash')]);
    const stranger = [...store, { key: 'X/1', value: new Uint8Array(1) }];
    expect(judge(stranger)).toEqual([expect.stringContaining('the record "X/1" is of no kind')]);
    expect(judge(changed('L/', () => undefined))).toEqual([expect.stringContaining('the head of key')]);
    expect(judge(changed('T/', () => undefined))).toEqual([expect.stringContaining('the head of key')]);
    const [head] = store.filter(({ key }) => key.startsWith('L/'));
    const extra = [...store, { key: 'L/zz', value: head?.value ?? new Uint8Array(0) }];
    expect(judge(extra)).toEqual([expect.stringContaining('heads for')]);
    expect(judge(changed('V/', () => undefined))).toHaveLength(1);
    expect(judge(changed('M/applied', () => undefined))).toHaveLength(1);
    expect(judge(changed('V/', (value) => value.subarray(0, 9)))).toHaveLength(1);
  });
});
