// Exactly once: what a session answers to repeated, late, early and forged sequences, and when it is
// forgotten.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kvLimits, type Command } from '../../src/kv/commands.js';
import { Hash64 } from '../../src/base/hash.js';
import { sessionKey } from '../../src/kv/records/schema.js';
import { sessionRecord, SessionTable, type Session } from '../../src/kv/tables/sessions.js';
import {
  Bench,
  closeSession,
  command,
  del,
  expireTables,
  ifRevision,
  put,
  sessionId,
  text,
} from './helpers.js';

const life = kvLimits.sessionLifeMs;

describe('sequences', () => {
  it('answers a repeated command with its first outcome and does not execute it again', () => {
    const bench = new Bench();
    const first = bench.one(command(put('a', '1'), 1));
    bench.one(command(put('a', '2'), 2));
    expect(bench.one(command(put('a', '1'), 1))).toEqual(first);
    expect(text(bench.machine.get('a'))).toBe('2');
    expect(bench.machine.revision).toBe(2);
  });

  it('keeps conflicts as outcomes too', () => {
    const bench = new Bench();
    const refused = bench.one(command(put('a', '1', ifRevision(9)), 1));
    expect(refused).toEqual({ code: 'CONFLICT', revision: 0, count: 0 });
    for (let i = 0; i < 9; i++) bench.run(put('a', 'x'));
    expect(bench.one(command(put('a', '1', ifRevision(9)), 1))).toEqual(refused);
  });

  it('executes commands that arrive out of order', () => {
    const bench = new Bench();
    const results = bench.entry(
      command(put('a', '1'), 1),
      command(put('c', '3'), 3),
      command(put('b', '2'), 2),
      command(put('c', '3'), 3),
    );
    expect(results.map((result) => result.revision)).toEqual([1, 2, 3, 2]);
  });

  it('answers STALE at or below acknowledgedThrough, which never goes back', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    bench.one(command(put('a', '2'), 2));
    bench.one(command(put('a', '3'), 3, { acknowledged: 2 }));
    bench.one(command(put('a', '4'), 4, { acknowledged: 0 }));
    for (const sequence of [-1, 0, 1, 2]) {
      const result = bench.one(command(del('a'), sequence));
      expect(result).toEqual({ code: 'STALE', revision: 4, count: 0 });
    }
    expect(bench.one(command(put('a', '3'), 3)).revision).toBe(3);
  });

  it('does not believe an acknowledgement of the command itself or of later ones', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1, { acknowledged: 999 }));
    expect(bench.one(command(put('a', '1'), 1, { acknowledged: 999 }))).toMatchObject({
      code: 'OK',
      revision: 1,
    });
    bench.one(command(put('a', '2'), 2, { acknowledged: 5 }));
    expect(bench.one(command(put('a', '2'), 2))).toMatchObject({ code: 'OK', revision: 2 });
    expect(bench.one(command(put('a', '3'), 3))).toMatchObject({ code: 'OK', revision: 3 });
  });

  it('refuses sequences beyond the window without keeping that', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    const beyond = command(put('a', 'x'), kvLimits.sessionWindow + 1);
    expect(bench.one(beyond)).toEqual({ code: 'SESSION_LIMIT', revision: 1, count: 0 });
    expect(bench.one(command(put('a', 'y'), kvLimits.sessionWindow)).code).toBe('OK');
    bench.one(command(put('a', '2'), 2, { acknowledged: 1 }));
    expect(bench.one(beyond).code).toBe('OK');
    const jump = command(put('a', 'z'), 1_000_000, { acknowledged: 999_999 });
    expect(bench.one(jump).code).toBe('OK');
    expect(bench.one(command(put('a', 'late'), 3)).code).toBe('STALE');
  });

  it('never executes nor keeps a stamp whose numbers could not be stored', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    const bad = [1.5, NaN, Infinity, 2 ** 53];
    for (const number of bad) {
      const stale = { code: 'STALE', revision: 1, count: 0 };
      expect(bench.one(command(put('a', 'x'), number))).toEqual(stale);
      expect(bench.one(command(put('a', 'x'), 2, { acknowledged: number }))).toEqual(stale);
      expect(bench.one(command(put('a', 'x'), 1, { session: 'new', created: number }))).toEqual(stale);
    }
    expect(bench.one(command(put('a', 'x'), 1, { session: 'new', created: -1 })).code).toBe('STALE');
    expect(bench.machine.sizeOf('sessions')).toBe(1);
    expect(bench.one(command(put('a', '1'), 1))).toMatchObject({ code: 'OK', revision: 1 });
    expect(bench.one(command(put('a', '2'), 2))).toMatchObject({ code: 'OK', revision: 2 });
  });

  it('has one effect per command in a storm of retries over restarts', () => {
    const storm = fc.array(fc.record({ sequence: fc.integer({ min: 1, max: 8 }), write: fc.boolean() }), {
      minLength: 30,
      maxLength: 60,
    });
    fc.assert(
      fc.property(storm, (retries) => {
        const bench = new Bench();
        bench.one(command(put('k1', ''), 1));
        for (const { sequence, write } of retries) {
          bench.one(command(put(`k${sequence}`, ''), sequence));
          if (write) bench.write();
          if (write) bench.restart();
        }
        for (const { key, version } of bench.range().records) expect([key, version]).toEqual([key, 1]);
        expect(bench.machine.revision).toBe(new Set([1, ...retries.map((retry) => retry.sequence)]).size);
      }),
      { numRuns: 40 },
    );
  });
});

describe('opening', () => {
  it('takes sequence 1 only', () => {
    const bench = new Bench();
    expect(bench.one(command(put('a', '1'), 2))).toEqual({ code: 'SESSION_EXPIRED', revision: 0, count: 0 });
    expect(bench.machine.sizeOf('sessions')).toBe(0);
    expect(bench.one(command(put('a', '1'), 1)).code).toBe('OK');
    expect(bench.machine.sizeOf('sessions')).toBe(1);
  });

  it('refuses an id as old as a session’s life, and one from too far ahead', () => {
    const bench = new Bench();
    bench.nowMs = 100_000;
    const open = (name: string, created: number): string =>
      bench.one(command(put('a', '1'), 1, { session: name, created })).code;
    expect(open('old', 100_000 - life)).toBe('SESSION_EXPIRED');
    expect(open('young', 100_001 - life)).toBe('OK');
    expect(open('ahead', 100_000 + kvLimits.sessionAheadMsMax)).toBe('OK');
    expect(open('far ahead', 100_001 + kvLimits.sessionAheadMsMax)).toBe('SESSION_EXPIRED');
  });

  it('never executes a late copy of sequence 1, whenever it comes', () => {
    const created = fc.constantFrom(0, 10, 30_000, 90_000);
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 40_000 }), fc.nat(3)), { maxLength: 40 });
    fc.assert(
      fc.property(created, steps, (createdMs, moves) => {
        const bench = new Bench();
        const first: Command = command(put('a', '1'), 1, { created: createdMs });
        bench.one(first);
        for (const [stepMs, kind] of moves) {
          // Steps of a whole life meet the edges.
          bench.nowMs += stepMs > 39_000 ? life : stepMs;
          if (kind === 0) bench.one(command(closeSession, 2, { created: createdMs }));
          else if (kind === 1) bench.entry(expireTables, first);
          else bench.one(first);
        }
        expect(bench.machine.get('a')?.version).toBe(1);
      }),
      { numRuns: 200 },
    );
  });

  it('is refused beyond 10,000 sessions, which stays so after a restart', () => {
    const bench = new Bench();
    const open = (i: number): Command => command(put('a', ''), 1, { session: `s${i}` });
    bench.entry(...Array.from({ length: kvLimits.sessionsMax }, (_, i) => open(i)));
    const { revision } = bench.machine;
    expect(bench.one(open(10_000))).toEqual({ code: 'SESSION_LIMIT', revision, count: 0 });
    bench.write();
    bench.restart();
    expect(bench.machine.sizeOf('sessions')).toBe(kvLimits.sessionsMax);
    expect(bench.one(open(10_000)).code).toBe('SESSION_LIMIT');
    expect(bench.one(command(put('a', ''), 2, { session: 's5' })).code).toBe('OK');
    bench.one(command(closeSession, 3, { session: 's5' }));
    expect(bench.one(open(10_000)).code).toBe('OK');
  });

  it('is refused, like new outcomes, when the table is full; an acknowledgement makes room', () => {
    const table = new SessionTable();
    const stamp = (name: number, sequence: number, acknowledged = 0) => ({
      sessionId: sessionId(`t${name}`),
      createdClusterTimeMs: 0,
      sequence,
      acknowledgedThrough: acknowledged,
    });
    const result = { code: 'OK', revision: 1, count: 0 } as const;
    let name = 0;
    let sequence = 1;
    const fill = (nowMs: number): number => {
      for (let kept = 0; ; kept++) {
        const next = { ...stamp(name, sequence), createdClusterTimeMs: nowMs };
        const verdict = table.judge(next, nowMs, false);
        if (verdict !== 'execute') return kept;
        const session = table.enter(next, nowMs, verdict);
        if (session !== undefined) table.keep(session, sequence, result);
        sequence++;
        if (sequence > kvLimits.sessionWindow) [name, sequence] = [name + 1, 1];
      }
    };
    const openSmall = (nowMs: number): void => {
      const small = { ...stamp(5_000, 1), createdClusterTimeMs: nowMs };
      const session = table.enter(small, nowMs, 'execute');
      if (session !== undefined) table.keep(session, 1, result);
    };
    openSmall(0);
    const kept = fill(0);
    expect(table.judge(stamp(5_000, 2), 0, false)).toBe('execute');
    expect(kept * 96).toBeGreaterThan(kvLimits.sessionTableBytesMax * 0.99);
    expect(kept * 96).toBeLessThanOrEqual(kvLimits.sessionTableBytesMax);
    expect(table.judge(stamp(9_999, 1), 0, false)).toBe('SESSION_LIMIT');
    expect(table.judge(stamp(name, sequence), 0, false)).toBe('SESSION_LIMIT');
    expect(table.judge(stamp(name, sequence), 0, true)).toBe('execute');
    table.enter(stamp(name, sequence, sequence - 1), 0, 'SESSION_LIMIT');
    expect(table.judge(stamp(name, sequence), 0, false)).toBe('execute');
    table.expire(life, new Hash64());
    expect(table.size).toBe(0);
    [name, sequence] = [0, 1];
    openSmall(life);
    expect(fill(life)).toBe(kept);
  });
});

describe('ending', () => {
  it('comes by the entry’s cluster time, a life after the last command', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    bench.nowMs = 50_000;
    bench.one(command(put('a', '1'), 1));
    expect(bench.machine.nextDeadlineMs).toBeLessThanOrEqual(50_000 + life);
    bench.nowMs = 50_000 + life - 1;
    bench.one(expireTables);
    expect(bench.machine.sizeOf('sessions')).toBe(1);
    expect(bench.machine.nextDeadlineMs).toBe(50_000 + life);
    bench.nowMs = 50_000 + life;
    bench.one(expireTables);
    expect(bench.machine.sizeOf('sessions')).toBe(0);
    expect(bench.machine.nextDeadlineMs).toBeUndefined();
    expect(bench.one(command(put('a', '2'), 2)).code).toBe('SESSION_EXPIRED');
    expect(bench.machine.revision).toBe(1);
  });

  it('does not happen without the command, however late', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    bench.nowMs = 10 * life;
    expect(bench.one(command(put('a', '2'), 2)).code).toBe('OK');
  });

  it('waits for a session whose id was drawn ahead of cluster time', () => {
    const bench = new Bench();
    const late = command(put('a', '1'), 1, { created: 40_000 });
    bench.one(late);
    bench.nowMs = life;
    expect(bench.entry(expireTables, late)[1]).toMatchObject({ code: 'OK', revision: 1 });
    bench.nowMs = 3 * life;
    expect(bench.entry(expireTables, late)[1]?.code).toBe('SESSION_EXPIRED');
    expect(bench.machine.revision).toBe(1);
  });

  it('by closing refuses everything that is still on its way', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    expect(bench.one(command(closeSession, 3))).toEqual({ code: 'OK', revision: 1, count: 0 });
    expect(bench.machine.sizeOf('sessions')).toBe(0);
    bench.write();
    bench.restart();
    for (const sequence of [1, 2, 3, 4]) {
      expect(bench.one(command(put('a', 'x'), sequence)).code).toBe('SESSION_EXPIRED');
    }
    expect(bench.machine.nextDeadlineMs).toBe(life);
    bench.nowMs = life;
    bench.one(expireTables);
    bench.write();
    expect([...bench.store.records.keys()].filter((key) => key.startsWith('S/'))).toEqual([]);
    expect(bench.one(command(put('a', 'x'), 1)).code).toBe('SESSION_EXPIRED');
  });

  it('by closing an old session forgets it at once', () => {
    const bench = new Bench();
    bench.one(command(put('a', '1'), 1));
    bench.nowMs = life;
    bench.one(command(closeSession, 2));
    expect(bench.machine.nextDeadlineMs).toBeUndefined();
    expect(bench.one(command(put('a', 'x'), 1)).code).toBe('SESSION_EXPIRED');
  });
});

describe('session records', () => {
  it('survive a restart with all outcomes', () => {
    const bench = new Bench();
    bench.nowMs = 77;
    bench.entry(
      command(put('a', '1'), 1),
      command(put('a', '3', ifRevision(5)), 3),
      command(del('a'), 4_096),
    );
    bench.entry(command(put('a', '9'), 9, { acknowledged: 2 }));
    bench.write();
    const before = bench.machine.nextDeadlineMs;
    bench.restart();
    expect(bench.machine.nextDeadlineMs).toBe(before);
    expect(bench.one(command(put('a', 'x'), 2)).code).toBe('STALE');
    expect(bench.one(command(put('a', 'x'), 3))).toEqual({ code: 'CONFLICT', revision: 1, count: 0 });
    expect(bench.one(command(put('a', 'x'), 4_096))).toEqual({ code: 'OK', revision: 2, count: 1 });
    expect(bench.machine.revision).toBe(3);
  });

  it('are refused when damaged', () => {
    const table = new SessionTable();
    const id = sessionId('x');
    const stamp = { sessionId: id, createdClusterTimeMs: 0, sequence: 1, acknowledgedThrough: 0 };
    const session = table.enter(stamp, 0, 'execute');
    if (session === undefined) throw new Error('not opened');
    table.keep(session, 1, { code: 'OK', revision: 1, count: 0 });
    const record = sessionRecord.encode(session);
    const decode = (bytes: Uint8Array): Session => sessionRecord.decode(sessionKey(id), bytes);
    expect(decode(record)).toEqual(session);
    expect(() => decode(record.subarray(1))).toThrow(/outcomes/);
    expect(() => decode(record.subarray(0, 20))).toThrow(/20 bytes/);
    const unknown = new Uint8Array(record);
    unknown[31] = 9;
    expect(() => decode(unknown)).toThrow(/unknown outcome/);
  });
});
