// Format levels in the state: where they begin, how they are raised, what is above them has no effect, and
// nothing of a higher one is touched by older software.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { kvLimits, type ClientOperation, type Command, type CommandResult } from '../../src/kv/commands.js';
import { checkKnownLevel, thisSoftware, type Software } from '../../src/kv/format-level.js';
import { appliedKey, decodeApplied, encodeApplied } from '../../src/kv/records/schema.js';
import type { StateMachine } from '../../src/kv/state-machine.js';
import { FakeStore } from './fake-store.js';
import { command, del, expireTables, machineOf, put } from './helpers.js';

/** Knows level 3, to which `delete` belongs; `put` belongs to level 2. */
const newer: Software = {
  formatLevelMax: 3,
  commandLevels: { ...thisSoftware.commandLevels, put: 2, delete: 3 },
};

class Node {
  store: FakeStore;
  machine: StateMachine;

  constructor(software: Software = newer, store = new FakeStore()) {
    this.store = store;
    this.machine = machineOf(store, software);
    let outcome: Error | 'none' | undefined;
    this.machine.load((error) => (outcome = error ?? 'none'));
    store.drain();
    if (outcome !== 'none') throw outcome ?? new Error('load did not finish');
  }

  form(formatLevel: number): void {
    this.machine.applyEntry({ index: 1, term: 1, times: undefined, commands: [], formatLevel });
  }

  apply(...commands: Command[]): readonly CommandResult[] {
    const index = this.machine.appliedIndex + 1;
    const times = { clusterTimeMs: index, wallTimeMs: index };
    const step = this.machine.applyEntry({ index, term: 1, times, commands });
    if (step.kind !== 'done') throw new Error('a range is needed');
    return step.results;
  }

  write(): void {
    const operations = this.machine.freeze();
    if (operations !== undefined) this.store.writeBatch(operations, () => this.machine.writeResolved());
    this.store.drain();
  }
}

const raise = (level: number): Command => ({ kind: 'raiseFormat', level });
const codes = (results: readonly CommandResult[]): string[] => results.map(({ code }) => code);

function errorOf(work: () => unknown): KvorumError {
  try {
    work();
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the format level of the state', () => {
  it('begins with what the formation names, in the state hash and in the store', () => {
    const [low, high] = [new Node(), new Node()];
    expect(low.machine.formatLevel).toBe(1);
    low.form(1);
    high.form(2);
    expect([low.machine.formatLevel, high.machine.formatLevel]).toEqual([1, 2]);
    expect(low.machine.stateHash).not.toBe(high.machine.stateHash);
    high.write();
    const again = new Node(newer, high.store.crash(false));
    expect([again.machine.formatLevel, again.machine.stateHash]).toEqual([2, high.machine.stateHash]);
    expect(() => {
      low.machine.applyEntry({ index: 2, term: 1, times: undefined, commands: [], formatLevel: 2 });
    }).toThrow(/only the formation/);
  });

  it('is raised, within the entry, and never goes down', () => {
    const node = new Node();
    node.form(1);
    const before = command(put('a', '1'), 1);
    const after = command(put('a', '1'), 2, { session: 'two' });
    const open = command({ kind: 'closeSession' }, 1, { session: 'two' });
    expect(codes(node.apply(before, raise(2), before, open, after))).toEqual([
      'UNSUPPORTED',
      'OK',
      'OK',
      'OK',
      'SESSION_EXPIRED',
    ]);
    expect([node.machine.formatLevel, node.machine.revision]).toEqual([2, 1]);
    expect(codes(node.apply(raise(1)))).toEqual(['OK']);
    expect(node.machine.formatLevel).toBe(2);
    node.apply(raise(3));
    expect(node.machine.formatLevel).toBe(3);
    node.write();
    const record = node.store.records.get(appliedKey) ?? new Uint8Array(0);
    expect(decodeApplied(record).formatLevel).toBe(3);
    expect(new Node(newer, node.store.crash(false)).machine.formatLevel).toBe(3);
  });

  it('goes into the state hash when it is raised', () => {
    const hashes = [undefined, 1, 2, 3].map((level) => {
      const node = new Node();
      node.form(1);
      node.apply(...(level === undefined ? [] : [raise(level)]));
      return node.machine.stateHash;
    });
    expect(new Set(hashes).size).toBe(4);
  });

  it('cannot be read from a part of an entry', () => {
    const node = new Node();
    node.form(1);
    const range: ClientOperation = { kind: 'deleteRange', start: '', end: undefined };
    const times = { clusterTimeMs: 2, wallTimeMs: 2 };
    const entry = { index: 2, term: 1, times, commands: [raise(3), command(range, 1)] };
    const { stateHash } = node.machine;
    const step = node.machine.applyEntry(entry);
    if (step.kind !== 'needs') throw new Error('no range is needed');
    expect([node.machine.formatLevel, node.machine.stateHash]).toEqual([1, stateHash]);
    node.machine.provide(step.range, []);
    expect(node.machine.applyEntry(entry).kind).toBe('done');
    expect(node.machine.formatLevel).toBe(3);
  });
});

describe('an operation above the level of the state', () => {
  it('has no effect, opens no session, and its outcome is not kept', () => {
    const node = new Node();
    node.form(1);
    const first = command(put('a', '1'), 1);
    expect(node.apply(first)).toEqual([{ code: 'UNSUPPORTED', revision: 0, count: 0 }]);
    expect([node.machine.revision, node.machine.sizeOf('sessions')]).toEqual([0, 0]);
    expect(node.machine.get('a')).toBeUndefined();
    node.apply(raise(2));
    // The same command, as a client sends it again.
    expect(codes(node.apply(first))).toEqual(['OK']);
    expect(codes(node.apply(command(del('a'), 2), command(put('b', '1'), 3)))).toEqual(['UNSUPPORTED', 'OK']);
    expect(node.machine.revision).toBe(2);
    node.apply(raise(3));
    expect(codes(node.apply(command(del('a'), 2)))).toEqual(['OK']);
    expect(node.machine.get('a')).toBeUndefined();
  });

  it('leaves the same state on software of every version that knows it', () => {
    const newest: Software = { ...newer, formatLevelMax: 9 };
    const nodes = [new Node(newer), new Node(newest)];
    for (const node of nodes) {
      node.form(1);
      node.apply(command(put('a', '1'), 1), raise(2), command(put('a', '1'), 1), command(del('a'), 2));
      node.write();
    }
    expect(nodes[0]?.machine.stateHash).toBe(nodes[1]?.machine.stateHash);
    expect(nodes[0]?.store.records).toEqual(nodes[1]?.store.records);
  });
});

describe('a command of the leader above the level of the state', () => {
  const ahead: Software = {
    formatLevelMax: 2,
    commandLevels: { ...thisSoftware.commandLevels, expireTables: 2 },
  };

  it('has no effect but on the state hash, until the level is raised', () => {
    const node = new Node(ahead);
    const idle = new Node(ahead);
    for (const each of [node, idle]) {
      each.form(1);
      each.apply(command(put('a', '1'), 1));
    }
    const expire = (each: Node, commands: Command[]): readonly CommandResult[] => {
      const index = each.machine.appliedIndex + 1;
      const times = { clusterTimeMs: 10 * kvLimits.sessionLifeMs, wallTimeMs: 1 };
      const step = each.machine.applyEntry({ index, term: 1, times, commands });
      return step.kind === 'done' ? step.results : expect.unreachable();
    };
    expect(expire(node, [expireTables])).toEqual([{ code: 'UNSUPPORTED', revision: 1, count: 0 }]);
    expire(idle, []);
    expect([node.machine.sizeOf('sessions'), idle.machine.sizeOf('sessions')]).toEqual([1, 1]);
    expect(node.machine.stateHash).not.toBe(idle.machine.stateHash);
    node.apply(raise(2));
    expect(codes(expire(node, [expireTables]))).toEqual(['OK']);
    expect(node.machine.sizeOf('sessions')).toBe(0);
  });
});

describe('older software', () => {
  it('refuses a store of a higher level, which is no damage', () => {
    const node = new Node();
    node.form(2);
    node.write();
    const error = errorOf(() => new Node(thisSoftware, node.store));
    expect(error.code).toBe('FORMAT');
    expect(error.message).toMatch(/the store is of format level 2; .* knows 1: upgrade this node/);
    expect(error.details).toEqual({ formatLevel: 2, formatLevelMax: 1 });
    const applied = decodeApplied(node.store.records.get(appliedKey) ?? new Uint8Array(0));
    node.store.records.set(appliedKey, encodeApplied({ ...applied, formatLevel: 1 }));
    expect(new Node(thisSoftware, node.store).machine.formatLevel).toBe(1);
  });

  it('stops at an entry that raises the level above it, and at a formation above it', () => {
    const node = new Node(thisSoftware);
    expect(errorOf(() => node.form(2)).code).toBe('FORMAT');
    node.form(1);
    const error = errorOf(() => node.apply(raise(2)));
    expect(error.code).toBe('FORMAT');
    expect(error.message).toMatch(/the log goes to format level 2/);
    expect(node.machine.formatLevel).toBe(1);
  });

  it('takes what it knows', () => {
    expect(() => checkKnownLevel(1, thisSoftware, 'x')).not.toThrow();
  });
});
