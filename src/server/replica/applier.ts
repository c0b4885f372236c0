// Applies committed entries in order, in slices that leave room for heartbeats, and hands out their
// results. A command that needs a range which is not in memory waits for it, and everything behind it waits
// too: order is the state.

import { assert } from '../../base/assert.js';
import type { NodeEnv } from '../../base/env.js';
import type { CommandResult } from '../../kv/commands.js';
import type { EntryToApply } from '../../kv/state-machine.js';
import type { StoreRange } from '../../kv/store.js';
import type { LogEntry, LogIndex, Term } from '../../raft/types.js';
import { decodeEntryPayload, decodeFormation } from '../../wire/commands/entry-codec.js';
import type { NodeConfig } from '../config/node-config.js';
import type { Proposals } from '../front/proposals.js';
import type { ReplicaContext } from './context.js';

/** What the applier needs of its replica. */
export interface ApplierHost {
  readonly proposals: Proposals;
  /** The store is too far behind: applying goes on with `resume`. */
  mustWait(): boolean;
  /** One entry took effect; results of its commands in order. */
  applied(index: LogIndex, term: Term, results: readonly CommandResult[]): void;
  /** A slice ended with everything up to `index` applied. */
  reached(index: LogIndex): void;
}

export interface ApplierContext extends Pick<ReplicaContext, 'software' | 'stateMachine' | 'store' | 'fail'> {
  readonly env: Pick<NodeEnv, 'clock' | 'timers'>;
  readonly config: Pick<NodeConfig, 'sliceMs'>;
}

export class Applier {
  private readonly context: ApplierContext;
  private readonly host: ApplierHost;
  private queue: LogEntry[] = [];
  private position = 0;
  private current: EntryToApply | undefined;
  private scheduled = false;
  private fetching = false;
  private halted = false;
  private onSettled: (() => void) | undefined;

  constructor(context: ApplierContext, host: ApplierHost) {
    this.context = context;
    this.host = host;
  }

  /** Entries follow on each other without a gap; the core bounds how many are handed out at once. */
  enqueue(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.queue.push(entry);
    this.schedule();
  }

  resume(): void {
    if (this.position < this.queue.length) this.schedule();
  }

  /** An entry has begun and waits for a range: the state machine is between two states. */
  get isMidEntry(): boolean {
    return this.current !== undefined;
  }

  /** Begins no further entry; `done` once none is half applied. The rest is applied after the next start. */
  settle(done: () => void): void {
    this.onSettled = done;
    if (!this.isMidEntry) this.settled();
  }

  halt(): void {
    this.halted = true;
  }

  private settled(): void {
    const done = this.onSettled;
    this.halted = true;
    done?.();
  }

  private schedule(): void {
    if (this.scheduled || this.fetching || this.halted) return;
    this.scheduled = true;
    this.context.env.timers.defer(() => {
      this.scheduled = false;
      if (!this.halted) this.slice();
    });
  }

  private slice(): void {
    const { stateMachine, config } = this.context;
    const { clock } = this.context.env;
    const startedMs = clock.nowMs();
    const before = stateMachine.appliedIndex;
    while (this.position < this.queue.length && !this.fetching && !this.halted && !this.host.mustWait()) {
      this.applyNext();
      if (clock.nowMs() - startedMs >= config.sliceMs) break;
    }
    if (this.position >= this.queue.length) {
      this.queue = [];
      this.position = 0;
    }
    if (!this.halted && stateMachine.appliedIndex > before) this.host.reached(stateMachine.appliedIndex);
    if (this.position < this.queue.length && !this.host.mustWait()) this.schedule();
  }

  private applyNext(): void {
    const entry = this.queue[this.position];
    assert(entry !== undefined, 'an entry to apply is missing from the queue');
    this.current ??= this.decode(entry);
    const step = this.context.stateMachine.applyEntry(this.current);
    if (step.kind === 'needs') {
      this.fetch(step.range);
      return;
    }
    this.current = undefined;
    this.position++;
    this.host.applied(entry.index, entry.term, step.results);
    if (this.onSettled !== undefined) this.settled();
  }

  private decode(entry: LogEntry): EntryToApply {
    const { index, term } = entry;
    if (entry.kind !== 'command') {
      const nothing = { index, term, times: undefined, commands: [] };
      return index === 1 ? { ...nothing, formatLevel: decodeFormation(entry.payload).formatLevel } : nothing;
    }
    const own = this.host.proposals.batchOf(index, term);
    if (own !== undefined) {
      return { index, term, times: own.times, commands: own.writes.map((write) => write.command) };
    }
    const { times, commands } = decodeEntryPayload(entry.payload, this.context.software);
    return { index, term, times, commands };
  }

  private fetch(range: StoreRange): void {
    this.fetching = true;
    this.context.store.fetchRange(range, (error, records) => {
      this.fetching = false;
      if (this.halted) return;
      if (error !== undefined) {
        this.context.fail(error);
        return;
      }
      this.context.stateMachine.provide(range, records);
      this.schedule();
    });
  }
}
