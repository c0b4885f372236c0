// Requests and reads of a node over a real state machine, whose store counts what is read from it. Time
// stands unless the test moves it; turns and pieces of work happen when the test lets them.

import type { OrderedStore } from '../../src/kv/store.js';
import type { StateMachine } from '../../src/kv/state-machine.js';
import { Proposals } from '../../src/server/front/proposals.js';
import { Reads } from '../../src/server/front/reads.js';
import { Requests } from '../../src/server/front/requests.js';
import { Statuses } from '../../src/server/front/statuses.js';
import type { NodeStatus } from '../../src/wire/clients/status.js';
import { FakeStore } from '../kv/fake-store.js';
import { openMachine } from '../kv/helpers.js';
import { VirtualTime } from './snapshot-world.js';

export class CountingStore extends FakeStore {
  bytesRead = 0;
  /** Of one fetch of many keys. */
  bytesAtOnceMax = 0;
  fetches = 0;

  override getSync(key: string): Uint8Array | undefined {
    const value = super.getSync(key);
    this.bytesRead += value?.length ?? 0;
    return value;
  }

  override fetchMany(...[keys, done]: Parameters<OrderedStore['fetchMany']>): void {
    super.fetchMany(keys, (error, values) => {
      const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
      this.bytesRead += bytes;
      this.bytesAtOnceMax = Math.max(this.bytesAtOnceMax, bytes);
      this.fetches++;
      done(error, values);
    });
  }
}

export class HeavyWorld {
  readonly time = new VirtualTime();
  readonly store = new CountingStore();
  readonly machine: StateMachine = openMachine(this.store);
  readonly reads: Reads;
  readonly requests: Requests;
  readonly statuses: Statuses;
  statusesMade = 0;
  raises = 0;
  private isWoken = false;
  private index = 0;

  constructor() {
    const wake = (): void => void (this.isWoken = true);
    this.reads = new Reads({
      stateMachine: this.machine,
      clock: this.time.clock,
      timers: this.time.timers,
      pendingReadsMax: 65_536,
      sliceMs: 2,
      firstRequestId: 0,
      requestReadIndex: (requestId) => {
        this.time.timers.defer(() => this.reads.confirm([{ requestId, readIndex: 0 }]));
      },
      wake,
    });
    this.statuses = new Statuses({ status: () => this.makeStatus(), wake });
    this.requests = new Requests({
      proposals: new Proposals({ pendingCommandsMax: 65_536, pendingCommandBytesMax: 64 * 1_048_576 }),
      reads: this.reads,
      statuses: this.statuses,
      clock: this.time.clock,
      refuseWrite: () => undefined,
      raiseFormat: (caller, { requestId }) => {
        this.raises++;
        caller.answer({ kind: 'formatRaised', requestId, formatLevel: 1 });
      },
      damaged: (error) => {
        throw error;
      },
      wake,
    });
  }

  /** Applies the commands in one entry and writes everything to the store. */
  apply(...commands: Parameters<StateMachine['applyEntry']>[0]['commands']): void {
    const times = { clusterTimeMs: 0, wallTimeMs: 0 };
    this.machine.applyEntry({ index: ++this.index, term: 1, times, commands });
    this.settleStore();
  }

  settleStore(): void {
    const operations = this.machine.freeze();
    if (operations === undefined) return;
    this.store.writeBatch(operations, () => this.machine.writeResolved());
    this.store.drain();
    this.store.bytesRead = 0;
  }

  /** One turn: what is due, what the store was asked for, and the end of the turn. */
  turn(): void {
    this.time.run(0);
    this.store.drain();
    if (!this.isWoken) return;
    this.isWoken = false;
    this.reads.flush();
    this.statuses.flush();
    this.requests.flush();
  }

  turns(count: number): void {
    for (let turn = 0; turn < count; turn++) this.turn();
  }

  private makeStatus(): NodeStatus {
    this.statusesMade++;
    const hash = '0'.repeat(16);
    return {
      clusterId: 'c',
      nodeId: 'n1',
      role: 'leader',
      state: 'running',
      leaderId: 'n1',
      term: 1,
      commitIndex: 1,
      appliedIndex: 1,
      revision: 1,
      stateHash: hash,
      stateHashIndex: 1,
      stateHashes: [],
      version: '1',
      pid: 1,
      dbBytes: 0,
      formatLevel: 1,
      formatLevelMax: 1,
      protocolMax: 1,
      difference: undefined,
      trouble: '',
      logBytes: 0,
    };
  }
}
