// The writer that brings the applied state to the store in groups.

import { expect, it } from 'vitest';
import type { Done } from '../../src/base/env.js';
import type { OrderedStore } from '../../src/kv/store.js';
import { StoreWriter } from '../../src/server/replica/store-writer.js';
import { machineOf } from '../kv/helpers.js';

it('writes entries without effects that were applied while a batch was under way', () => {
  const batches: Done[] = [];
  const timers: (() => void)[] = [];
  const store: OrderedStore = {
    getSync: () => undefined,
    fetchRange: (_range, done) => done(undefined, []),
    fetchMany: (_keys, done) => done(undefined, []),
    writeBatch: (_operations, done) => batches.push(done),
    openView: () => ({ fetchRange: (_range, done) => done(undefined, []), close: () => undefined }),
  };
  const stateMachine = machineOf(store);
  stateMachine.load(() => undefined);
  const env = {
    timers: {
      set: (_delayMs: number, callback: () => void) => timers.push(callback),
      clear: () => undefined,
      defer: (run: () => void) => run(),
    },
  };
  const config = { store: { groupBytesMax: 1_000, groupIntervalMs: 100 } };
  const fail = (error: Error): void => expect.unreachable(error.message);
  const writer = new StoreWriter(
    { env, config, stateMachine, store, fail },
    { mayFreeze: () => true, onProgress: () => undefined },
  );
  const applyNoop = (index: number): void => {
    stateMachine.applyEntry({ index, term: 1, times: undefined, commands: [] });
    writer.noteApplied();
  };
  applyNoop(1);
  timers.shift()?.();
  applyNoop(2);
  batches.shift()?.(undefined);
  expect(stateMachine.durableAppliedIndex).toBe(1);
  timers.shift()?.();
  batches.shift()?.(undefined);
  expect(stateMachine.durableAppliedIndex).toBe(2);
});
