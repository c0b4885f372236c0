// The state machine against its twin: random entries, groups that freeze and resolve at random moments, reads
// that overlap with all of it, and crashes that fall back to the last durable group and replay the log.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toByteString } from '../../src/base/bytes.js';
import { defined } from '../../src/base/assert.js';
import type { ClientOperation, Command, CommandResult } from '../../src/kv/commands.js';
import type { EntryToApply } from '../../src/kv/state-machine.js';
import type { StateMachine } from '../../src/kv/state-machine.js';
import { ContentHash, hashRecord, hashHex } from '../../src/kv/state-hash.js';
import { FakeStore } from './fake-store.js';
import { openMachine, sessionId } from './helpers.js';
import { Twin, type TwinRange } from './twin.js';

const utf8Key = (text: string): string => toByteString(Buffer.from(text));
// U+1F600 sorts before U+FF5E in UTF-16 and after it in bytes (reliability.md row 95).
const keys = [
  '',
  'a',
  'a\x00',
  'a\x00\x00',
  'a\xff',
  'ab',
  'b',
  '\xff',
  '\xff\xff',
  utf8Key('😀'),
  utf8Key('~'),
];
const keyOf = fc.constantFrom(...keys);
const spanOf = fc.oneof(
  fc.record({ start: keyOf, end: fc.option(keyOf, { nil: undefined }) }),
  fc.constant({ start: '', end: undefined }),
);
const revisionOf = fc.nat(12);

const conditionOf = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: revisionOf.map((revision) => ({ condition: { kind: 'modRevision' as const, revision } })),
  },
);

const operationOf: fc.Arbitrary<ClientOperation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(keyOf, fc.uint8Array({ maxLength: 6 }), conditionOf)
      .map(([key, value, condition]) => ({ kind: 'put' as const, key, value, ...condition })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(keyOf, conditionOf)
      .map(([key, condition]) => ({ kind: 'delete' as const, key, ...condition })),
  },
  { weight: 2, arbitrary: spanOf.map((span) => ({ kind: 'deleteRange' as const, ...span })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'closeSession' as const }) },
);

/** When the sessions' ids were drawn; most lie in the future of the first entries. */
const createdOf: Readonly<Record<string, number>> = { s1: 0, s2: 20_000, s3: 70_000, s4: 130_000, s5: 0 };

/**
 * Sequences are drawn close together and ids from few, so that repeats, gaps and unknown sessions are common.
 */
const commandOf: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .record({
        id: fc.constantFrom(...Object.keys(createdOf)),
        sequence: fc.oneof(
          { weight: 3, arbitrary: fc.constant(1) },
          { weight: 9, arbitrary: fc.integer({ min: 1, max: 12 }) },
          { weight: 1, arbitrary: fc.constantFrom(0, 4_097, 4_100, 100_000) },
        ),
        acknowledged: fc.oneof(
          { weight: 4, arbitrary: fc.constant(0) },
          { weight: 2, arbitrary: fc.integer({ min: -1, max: 14 }) },
        ),
        operation: operationOf,
      })
      .map(({ id, sequence, acknowledged, operation }) => ({
        kind: 'client' as const,
        session: {
          sessionId: sessionId(id),
          createdClusterTimeMs: createdOf[id] ?? 0,
          sequence,
          acknowledgedThrough: acknowledged,
        },
        operation,
      })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'expireTables' as const }) },
);

type Action =
  | { readonly kind: 'entry'; readonly stepMs: number | undefined; readonly commands: readonly Command[] }
  | { readonly kind: 'freeze' }
  | { readonly kind: 'store'; readonly choice: number }
  | { readonly kind: 'crash'; readonly batchSurvives: boolean }
  | {
      readonly kind: 'range';
      readonly query: TwinRange;
      readonly revision: number;
      readonly keysOnly: boolean;
    }
  | {
      readonly kind: 'count';
      readonly start: string;
      readonly end: string | undefined;
      readonly revision: number;
    }
  | { readonly kind: 'get'; readonly key: string; readonly revision: number };

const actionOf: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('entry' as const),
      stepMs: fc.option(fc.constantFrom(0, 1, 1_000, 30_000, 60_000, -5_000), { nil: undefined, freq: 8 }),
      commands: fc.array(commandOf, { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: 'freeze' as const }) },
  { weight: 12, arbitrary: fc.nat(5).map((choice) => ({ kind: 'store' as const, choice })) },
  { weight: 1, arbitrary: fc.boolean().map((batchSurvives) => ({ kind: 'crash' as const, batchSurvives })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(spanOf, fc.integer({ min: 1, max: 6 }), fc.boolean(), revisionOf, fc.boolean())
      .map(([span, limit, reverse, revision, keysOnly]) => ({
        kind: 'range' as const,
        query: { ...span, limit, reverse },
        revision,
        keysOnly,
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(spanOf, revisionOf)
      .map(([span, revision]) => ({ kind: 'count' as const, ...span, revision })),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(keyOf, revisionOf)
      .map(([key, revision]) => ({ kind: 'get' as const, key, revision })),
  },
);

class World {
  readonly twin = new Twin();
  readonly log: EntryToApply[] = [];
  readonly results: (readonly CommandResult[])[] = [];
  readonly hashes: string[] = [];
  store = new FakeStore();
  machine = openMachine(this.store);
  /** Entry that waits for a range. */
  private waiting = false;
  private writing = false;
  private clockMs = 0;
  private generation = 0;
  readsDone = 0;
  private readsOpen = 0;
  rangesNeeded = 0;

  act(action: Action): void {
    switch (action.kind) {
      case 'entry':
        return this.propose(action.stepMs, action.commands);
      case 'freeze':
        return this.freeze();
      case 'store':
        return this.store.step(action.choice);
      case 'crash':
        return this.crash(action.batchSurvives);
      case 'range':
        return this.range(action.query, action.revision, action.keysOnly);
      case 'count':
        return this.count(action.start, action.end, action.revision);
      case 'get':
        return this.get(action.key, action.revision);
    }
  }

  finish(): void {
    this.settle();
    this.freeze();
    this.settle();
    this.checkWhole();
    this.crash(true);
    this.settle();
    this.checkWhole();
  }

  private settle(): void {
    this.store.drain();
    while (this.waiting || this.machine.appliedIndex < this.log.length) this.applyMore();
    this.store.drain();
  }

  private propose(stepMs: number | undefined, commands: readonly Command[]): void {
    this.clockMs += stepMs ?? 0;
    const times = { clusterTimeMs: Math.max(0, this.clockMs), wallTimeMs: Math.max(0, this.clockMs + 7) };
    const noop = stepMs === undefined;
    this.log.push({
      index: this.log.length + 1,
      term: 1,
      times: noop ? undefined : times,
      commands: noop ? [] : commands,
    });
    this.applyMore();
  }

  private applyMore(): void {
    while (!this.waiting && this.machine.appliedIndex < this.log.length) {
      const { machine, store, generation } = this;
      const entry = defined(this.log[machine.appliedIndex], 'the entry');
      const before = this.visible();
      const step = machine.applyEntry(entry);
      if (step.kind === 'done') {
        this.applied(entry, step.results);
        continue;
      }
      expect(this.visible()).toEqual(before);
      this.rangesNeeded++;
      this.waiting = true;
      store.fetchRange(step.range, (_error, records) => {
        if (generation !== this.generation) return;
        machine.provide(step.range, records);
        this.waiting = false;
        this.applyMore();
      });
    }
    if (this.waiting && this.store.waiting > 0 && this.log.length - this.machine.appliedIndex > 8) {
      this.store.step();
    }
  }

  private visible(): unknown {
    const { machine } = this;
    const { appliedIndex, revision, stateHash, contentHash, clusterTimeMs, wallTimeMs } = machine;
    const others = { formatLevel: machine.formatLevel, sessionCount: machine.sizeOf('sessions') };
    const records = keys.map((key) => plain(machine.get(key)));
    const hashes = { stateHash, contentHash, stateHashes: machine.stateHashes(3) };
    return { appliedIndex, revision, ...hashes, clusterTimeMs, wallTimeMs, ...others, records };
  }

  private applied(entry: EntryToApply, results: readonly CommandResult[]): void {
    const { machine, twin } = this;
    if (entry.index > twin.appliedIndex) {
      this.results[entry.index] = twin.apply(entry);
      this.hashes[entry.index] = machine.stateHash;
      expect(machine.clusterTimeMs).toBe(twin.clusterTimeMs);
      expect(machine.wallTimeMs).toBe(twin.wallTimeMs);
    }
    expect(results).toEqual(this.results[entry.index]);
    expect(machine.stateHash).toBe(this.hashes[entry.index]);
    expect(machine.stateHashAt(entry.index)).toBe(this.hashes[entry.index]);
  }

  private freeze(): void {
    if (this.waiting || this.writing) return;
    const { machine, generation } = this;
    const operations = machine.freeze();
    if (operations === undefined) return;
    this.writing = true;
    const index = machine.appliedIndex;
    this.store.writeBatch(operations, () => {
      if (generation !== this.generation) return;
      machine.writeResolved();
      expect(machine.durableAppliedIndex).toBe(index);
      this.writing = false;
    });
  }

  private crash(batchSurvives: boolean): void {
    this.generation++;
    this.readsOpen = 0;
    const durable = this.machine.durableAppliedIndex;
    this.store = this.store.crash(batchSurvives);
    this.waiting = false;
    this.writing = false;
    this.machine = openMachine(this.store);
    expect(this.machine.appliedIndex).toBeGreaterThanOrEqual(durable);
    if (this.machine.appliedIndex > 0) {
      expect(this.machine.stateHash).toBe(this.hashes[this.machine.appliedIndex]);
    }
    this.applyMore();
  }

  private asked(revision: number): number | undefined {
    return revision > this.machine.revision ? undefined : revision;
  }

  private range(query: TwinRange, revision: number, keysOnly: boolean): void {
    const asked = this.asked(revision);
    if (asked === undefined) return;
    const { generation } = this;
    const at = asked === 0 ? this.machine.revision : asked;
    const limits = { pageRecordsMax: 5, pageBytesMax: 1_000_000 };
    this.readsOpen++;
    this.machine.range({ ...query, keysOnly, revision: asked, ...limits }, (error, page) => {
      if (generation !== this.generation) return;
      expect(error).toBeUndefined();
      const limit = Math.min(query.limit, 5);
      const expected = this.twin.range({ ...query, limit }, at);
      const records = keysOnly
        ? expected.records.map((record) => ({ ...record, value: new Uint8Array(0) }))
        : expected.records;
      expect(plain(page)).toEqual(plain({ revision: at, records, more: expected.more }));
      this.readsDone++;
      this.readsOpen--;
    });
  }

  private count(start: string, end: string | undefined, revision: number): void {
    const asked = this.asked(revision);
    if (asked === undefined) return;
    const { generation } = this;
    const at = asked === 0 ? this.machine.revision : asked;
    this.readsOpen++;
    this.machine.count({ start, end, revision: asked }, (error, counted) => {
      if (generation !== this.generation) return;
      expect(error).toBeUndefined();
      const all = this.twin.range({ start, end, limit: 1_000, reverse: false }, at);
      expect(counted).toEqual({ revision: at, count: all.records.length });
      this.readsDone++;
      this.readsOpen--;
    });
  }

  private get(key: string, revision: number): void {
    const asked = this.asked(revision);
    if (asked === undefined) return;
    const at = asked === 0 ? this.machine.revision : asked;
    const expected = this.twin.history[at]?.get(key);
    expect(plain(this.machine.getAt(key, asked))).toEqual(plain(expected));
    expect(plain(this.machine.get(key))).toEqual(plain(this.twin.history[this.machine.revision]?.get(key)));
  }

  private checkWhole(): void {
    const { machine, twin } = this;
    expect(machine.revision).toBe(twin.revision);
    for (let revision = 1; revision <= twin.revision; revision++) {
      for (const key of keys) this.get(key, revision);
      this.range({ start: '', end: undefined, limit: 5, reverse: false }, revision, false);
      this.count('', undefined, revision);
    }
    this.store.drain();
    expect(this.readsOpen).toBe(0);
    const content = new ContentHash();
    for (const { key, value, createRevision, modRevision, version, leaseId } of defined(
      twin.history[twin.revision],
      'the newest records',
    ).values()) {
      content.add(...hashRecord(key, value, createRevision, modRevision, version, leaseId));
    }
    expect(machine.contentHash).toBe(hashHex(content.high, content.low));
    const open = [...twin.sessions.values()].filter((session) => !session.closed);
    expect(machine.sizeOf('sessions')).toBe(open.length);
    const bound = machine.nextDeadlineMs;
    const first = twin.firstDeadline();
    expect(bound === undefined).toBe(first === undefined);
    if (bound !== undefined && first !== undefined) expect(bound).toBeLessThanOrEqual(first);
    for (const times of twin.executions.values()) expect(times).toBe(1);
  }
}

/** Buffers and arrays of the same bytes compare as equal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

describe('state machine against its twin', () => {
  it('gives the twin’s results, records and sessions under any grouping, delay and crash', () => {
    let reads = 0;
    let ranges = 0;
    fc.assert(
      fc.property(fc.array(actionOf, { minLength: 10, maxLength: 150, size: 'max' }), (actions) => {
        const world = new World();
        for (const action of actions) world.act(action);
        world.finish();
        reads += world.readsDone;
        ranges += world.rangesNeeded;
      }),
      { numRuns: 200 },
    );
    expect(reads).toBeGreaterThan(0);
    expect(ranges).toBeGreaterThan(0);
  });

  it('has the same hashes on a replica that writes one group per entry and on one that writes none', () => {
    const entriesOf = fc.array(fc.array(commandOf, { maxLength: 6 }), { minLength: 1, maxLength: 25 });
    fc.assert(
      fc.property(entriesOf, fc.array(fc.boolean(), { maxLength: 25 }), (entries, writes) => {
        const lazy = new Replica();
        const eager = new Replica();
        entries.forEach((commands, i) => {
          const times = { clusterTimeMs: i * 9_000, wallTimeMs: i };
          const entry = { index: i + 1, term: 1, times, commands };
          expect(eager.apply(entry)).toEqual(lazy.apply(entry));
          if (writes[i] !== false) eager.write();
          expect(eager.machine.stateHash).toBe(lazy.machine.stateHash);
          expect(eager.machine.contentHash).toBe(lazy.machine.contentHash);
        });
        eager.write();
        lazy.write();
        expect(storeContents(eager.store)).toEqual(storeContents(lazy.store));
      }),
      { numRuns: 150 },
    );
  });
});

class Replica {
  readonly store = new FakeStore();
  readonly machine: StateMachine = openMachine(this.store);

  apply(entry: EntryToApply): readonly CommandResult[] {
    for (;;) {
      const step = this.machine.applyEntry(entry);
      if (step.kind === 'done') return step.results;
      this.store.fetchRange(step.range, (_error, records) => this.machine.provide(step.range, records));
      this.store.drain();
    }
  }

  write(): void {
    const operations = this.machine.freeze();
    if (operations !== undefined) this.store.writeBatch(operations, () => this.machine.writeResolved());
    this.store.drain();
  }
}

function storeContents(store: FakeStore): [string, string][] {
  return [...store.records]
    .map(([key, value]): [string, string] => [
      Buffer.from(key, 'latin1').toString('hex'),
      Buffer.from(value).toString('hex'),
    ])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
