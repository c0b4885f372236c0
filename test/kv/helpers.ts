// Short ways to build commands and entries, and to run a state machine over a FakeStore without delays.

import { toByteString, toBytes } from '../../src/base/bytes.js';
import { defined } from '../../src/base/assert.js';
import type { ClientOperation, Command, CommandResult, Condition, KeyRecord } from '../../src/kv/commands.js';
import { thisSoftware, type Software } from '../../src/kv/format-level.js';
import type { RangePage, RangeQuery } from '../../src/kv/state-machine.js';
import { StateMachine } from '../../src/kv/state-machine.js';
import type { OrderedStore } from '../../src/kv/store.js';
import { tableKinds, type TableKinds } from '../../src/kv/tables/index.js';
import { FakeStore } from './fake-store.js';

export function bytes(text: string): Uint8Array {
  return toBytes(text);
}

export function text(record: KeyRecord | undefined): string | undefined {
  return record === undefined ? undefined : Buffer.from(record.value).toString();
}

export function sessionId(name: string): string {
  return toByteString(Buffer.from(name.padEnd(16, '.')));
}

export function put(key: string, value: string, condition?: Condition): ClientOperation {
  return { kind: 'put', key, value: bytes(value), ...(condition === undefined ? {} : { condition }) };
}

export function del(key: string, condition?: Condition): ClientOperation {
  return { kind: 'delete', key, ...(condition === undefined ? {} : { condition }) };
}

export function deleteRange(start: string, end: string | undefined): ClientOperation {
  return { kind: 'deleteRange', start, end };
}

export function ifRevision(revision: number): Condition {
  return { kind: 'modRevision', revision };
}

export const closeSession: ClientOperation = { kind: 'closeSession' };
export const expireTables: Command = { kind: 'expireTables' };

export interface Stamp {
  readonly session?: string;
  readonly created?: number;
  readonly acknowledged?: number;
}

export function command(operation: ClientOperation, sequence: number, stamp: Stamp = {}): Command {
  return {
    kind: 'client',
    session: {
      sessionId: sessionId(stamp.session ?? 'one'),
      createdClusterTimeMs: stamp.created ?? 0,
      sequence,
      acknowledgedThrough: stamp.acknowledged ?? 0,
    },
    operation,
  };
}

/** A machine that is not loaded yet: of this software and its tables, where the test names no others. */
export function machineOf(
  store: OrderedStore,
  software: Software = thisSoftware,
  kinds: TableKinds = tableKinds,
): StateMachine {
  return new StateMachine(store, software, kinds);
}

/** Loads a machine from a store that answers at once. */
export function openMachine(store: FakeStore): StateMachine {
  const machine = machineOf(store);
  let outcome: Error | 'none' | undefined;
  machine.load((error) => (outcome = error ?? 'none'));
  store.drain();
  if (outcome !== 'none') throw outcome ?? new Error('load did not finish');
  return machine;
}

/** A machine with one default session that acknowledges as it goes. */
export class Bench {
  store = new FakeStore();
  machine = openMachine(this.store);
  nowMs = 0;
  private sequence = 0;

  /** One entry with these commands. */
  entry(...commands: Command[]): readonly CommandResult[] {
    const entry = {
      index: this.machine.appliedIndex + 1,
      term: 1,
      times: { clusterTimeMs: this.nowMs, wallTimeMs: this.nowMs },
      commands,
    };
    for (;;) {
      const step = this.machine.applyEntry(entry);
      if (step.kind === 'done') return step.results;
      this.store.fetchRange(step.range, (_error, records) => this.machine.provide(step.range, records));
      this.store.drain();
    }
  }

  one(single: Command): CommandResult {
    return defined(this.entry(single)[0], 'the result');
  }

  /** One operation as the next one of the bench's own session. */
  run(operation: ClientOperation): CommandResult {
    this.sequence++;
    return this.one(command(operation, this.sequence, { session: 'bench', acknowledged: this.sequence - 1 }));
  }

  /** Many operations in one entry. */
  runAll(operations: readonly ClientOperation[]): readonly CommandResult[] {
    const commands = operations.map((operation) => {
      this.sequence++;
      return command(operation, this.sequence, { session: 'bench', acknowledged: this.sequence - 1 });
    });
    return this.entry(...commands);
  }

  /** Freezes and writes a group. */
  write(): void {
    this.startWrite();
    this.store.drain();
  }

  startWrite(): void {
    const operations = this.machine.freeze();
    if (operations !== undefined) this.store.writeBatch(operations, () => this.machine.writeResolved());
  }

  /** A new process on what is durable. */
  restart(): void {
    this.store = this.store.crash(false);
    this.machine = openMachine(this.store);
  }

  /** Starts a range; the page is in the returned holder once the store has answered. */
  startRange(query: Partial<RangeQuery>): { page?: RangePage; error?: Error } {
    const holder: { page?: RangePage; error?: Error } = {};
    this.machine.range({ ...wholeRange, ...query }, (error, page) => {
      if (error === undefined) holder.page = page;
      else holder.error = error;
    });
    return holder;
  }

  range(query: Partial<RangeQuery> = {}): RangePage {
    const holder = this.startRange(query);
    this.store.drain();
    if (holder.error !== undefined) throw holder.error;
    return defined(holder.page, 'the page');
  }

  startCount(revision = 0, start = '', end?: string): { count?: number; revision?: number; error?: Error } {
    const holder: { count?: number; revision?: number; error?: Error } = {};
    this.machine.count({ start, end, revision }, (error, counted) => {
      if (error === undefined) Object.assign(holder, counted);
      else holder.error = error;
    });
    return holder;
  }

  count(revision = 0, start = '', end?: string): number {
    const holder = this.startCount(revision, start, end);
    this.store.drain();
    if (holder.error !== undefined) throw holder.error;
    return defined(holder.count, 'the count');
  }
}

export const wholeRange: RangeQuery = {
  start: '',
  end: undefined,
  limit: 1_000_000,
  reverse: false,
  keysOnly: false,
  revision: 0,
  pageRecordsMax: 10_000,
  pageBytesMax: 1_048_576,
};

export function keysOf(page: RangePage): string[] {
  return page.records.map((record) => record.key);
}
