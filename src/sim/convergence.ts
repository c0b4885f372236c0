// The healed phase: with everything working again the cluster must come to rest. There is one leader, all
// members have the same log, the same applied index and the same state; every client has its answers, and
// can write and read anew. Source: design §9, research §4.7.

import type { Violations } from './checkers/violations.js';
import type { Machine } from './machine.js';
import type { ClientWorkload } from './workload.js';
import type { Scheduler } from './scheduler.js';

const pollUs = 100_000;
/** A node may take so long to notice that its disk has room again. */
const patienceUs = 2_500_000;
/** Nothing may stir for so long after convergence, elections least of all. */
const quietUs = 2_000_000;

export class ConvergenceChecker {
  private readonly scheduler: Scheduler;
  private readonly violations: Violations;
  private readonly machines: readonly Machine[];
  private readonly clients: readonly ClientWorkload[];
  private probesBegun = false;
  private probesAnswered = 0;
  private convergedTerm = 0;
  /** When everything was at rest for the first time; microseconds. */
  convergedAtUs: number | undefined;

  constructor(
    scheduler: Scheduler,
    violations: Violations,
    machines: readonly Machine[],
    clients: readonly ClientWorkload[],
    beginMs: number,
  ) {
    this.scheduler = scheduler;
    this.violations = violations;
    this.machines = machines;
    this.clients = clients;
    scheduler.schedule(beginMs * 1000 + patienceUs, 'workload', undefined, () => this.poll());
  }

  /** At rest, and quiet since. */
  get isOver(): boolean {
    return this.convergedAtUs !== undefined && this.scheduler.nowUs >= this.convergedAtUs + quietUs;
  }

  /** To be called when the time is over. */
  finish(): void {
    if (this.convergedAtUs === undefined) {
      const reason = this.unrest() ?? 'requests made after the healing were not answered';
      const id = this.clients.some(({ isIdle }) => !isIdle) ? 'availability' : 'convergence';
      this.violations.add(id, 'cluster', `no rest within the healed phase: ${reason}`);
      return;
    }
    const term = Math.max(...this.machines.map(({ node }) => node?.raft?.currentTerm ?? 0));
    if (term !== this.convergedTerm) {
      const message = `an election without need after convergence: term ${term} after ${this.convergedTerm}`;
      this.violations.add('convergence', 'cluster', message);
    }
  }

  private poll(): void {
    this.scheduler.schedule(pollUs, 'workload', undefined, () => this.poll());
    if (this.convergedAtUs !== undefined || this.clients.some(({ isIdle }) => !isIdle)) return;
    if (this.unrest() !== undefined) return;
    if (!this.probesBegun) this.probe();
    else if (this.probesAnswered === this.clients.length) {
      this.convergedAtUs = this.scheduler.nowUs;
      this.convergedTerm = this.machines[0]?.node?.raft?.currentTerm ?? 0;
    }
  }

  /**
   * Each client reads, writes something new and reads it back. Reads come first: they may not need a write.
   */
  private probe(): void {
    this.probesBegun = true;
    for (const [i, client] of this.clients.entries()) {
      const key = `probe/${i}`;
      client.run({ kind: 'get', key }, (early) => {
        if (early.result?.kind !== 'read') this.failed('read');
        client.run(client.freshPut(key), (put) => {
          if (put.result?.kind !== 'written') this.failed('write');
          client.run({ kind: 'get', key }, (late) => {
            if (late.result?.kind !== 'read' || late.result.records.length !== 1) this.failed('read');
            this.probesAnswered++;
          });
        });
      });
    }
  }

  private failed(what: string): void {
    this.violations.add('availability', 'cluster', `a ${what} failed although everything works`);
  }

  /** Why the members are not all in the same state; `undefined` when they are. */
  private unrest(): string | undefined {
    const states = this.machines.map(({ name, node }) => ({
      name,
      raft: node?.raft,
      state: node?.stateMachine,
    }));
    const leaders = states.filter(({ raft }) => raft?.role === 'leader');
    if (leaders.length !== 1) return `${leaders.length} leaders`;
    const [leader] = leaders;
    for (const { name, raft, state } of states) {
      if (raft === undefined || state === undefined) return `${name} is not up`;
      const log =
        `${raft.currentTerm}/${raft.lastIndex}/${raft.commitIndex}/` +
        `${state.appliedIndex}/${state.stateHash}`;
      const { raft: first, state: firstState } = leader ?? {};
      const expected =
        `${first?.currentTerm}/${first?.lastIndex}/${first?.lastIndex}/${first?.lastIndex}/` +
        `${firstState?.stateHash}`;
      if (log !== expected) {
        return `${name} has term/last/committed/applied/state ${log}, the leader ${leader?.name} ${expected}`;
      }
      if (state.durableAppliedIndex !== state.appliedIndex) return `${name} has not written its state`;
      if (state.contentHash !== firstState?.contentHash) return `${name} has other contents than the leader`;
    }
    return undefined;
  }
}
