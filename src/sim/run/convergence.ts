// The healed phase: with everything working again among the core, and everything else as wrong as before, the
// core must come to rest by itself. There is a leader soon, every client can read and write anew, all members
// of the core have the same log, the same applied index and the same state, and then no election is held
// without need.

import type { Violations } from '../checkers/violations.js';
import type { Machine } from '../world/machine/machine.js';
import type { ClientWorkload } from '../workloads/workload.js';
import type { Scheduler } from '../world/scheduler.js';

export interface ConvergenceOptions {
  readonly scheduler: Scheduler;
  readonly violations: Violations;
  readonly machines: readonly Machine[];
  /** Those that must come to rest. */
  readonly core: readonly Machine[];
  /** Whose leadership lasts: not that of a node whose links open and shut for ever. */
  readonly mayLead: (machine: Machine) => boolean;
  readonly clients: readonly ClientWorkload[];
  readonly beginMs: number;
  readonly electionTimeoutMsMax: number;
}

const pollUs = 100_000;
/**
 * What is no election takes this long at most: to notice that a link is dead, or that a disk has room again,
 * and to connect anew.
 */
const patienceMs = 4_000;
/** A leader is there after so many largest election timeouts, … */
const leaderTimeouts = 10;
/** … each client has read and written after so many, … */
const answerTimeouts = 20;
/** … and nothing stirs for so many after convergence. */
const quietTimeouts = 20;

export class ConvergenceChecker {
  private readonly options: ConvergenceOptions;
  private leaderSeen = false;
  private probesAnswered = 0;
  private convergedTerm = 0;
  /** When everything was at rest for the first time; microseconds. */
  convergedAtUs: number | undefined;

  constructor(options: ConvergenceOptions) {
    this.options = options;
    const { scheduler, beginMs } = options;
    scheduler.schedule(beginMs * 1000 + pollUs, 'workload', undefined, () => this.poll());
  }

  /** At rest, and quiet since. */
  get isOver(): boolean {
    if (this.convergedAtUs === undefined) return false;
    const { scheduler, electionTimeoutMsMax } = this.options;
    return scheduler.nowUs >= this.convergedAtUs + quietTimeouts * electionTimeoutMsMax * 1000;
  }

  /** To be called when the time is over. */
  finish(): void {
    const { violations, clients, machines } = this.options;
    if (this.convergedAtUs === undefined) {
      const reason = this.unrest() ?? 'requests made after the healing were not answered';
      const id = clients.some(({ isIdle }) => !isIdle) ? 'availability' : 'convergence';
      violations.add(id, 'cluster', `no rest within the healed phase: ${reason}`);
      return;
    }
    const term = this.term();
    if (term !== this.convergedTerm) {
      const message = `an election without need after convergence: term ${term} after ${this.convergedTerm}`;
      violations.add('convergence', 'cluster', message);
    }
    for (const { name, isWiped, isGone, isStoppedByDisk } of machines) {
      if (isWiped && !isGone && !isStoppedByDisk)
        violations.add('identity', name, 'did not stop, though its disk was wiped');
    }
  }

  private poll(): void {
    const { scheduler, clients } = this.options;
    scheduler.schedule(pollUs, 'workload', undefined, () => this.poll());
    if (this.convergedAtUs !== undefined) return;
    this.checkTimes();
    if (!this.leaderSeen) {
      if (this.leader() === undefined) return;
      this.leaderSeen = true;
      for (const [i, client] of clients.entries()) this.probe(client, `probe/${i}`);
    }
    if (this.probesAnswered < clients.length || clients.some(({ isIdle }) => !isIdle)) return;
    if (this.unrest() !== undefined) return;
    this.convergedAtUs = scheduler.nowUs;
    this.convergedTerm = this.term();
  }

  private checkTimes(): void {
    const { scheduler, violations, clients, beginMs, electionTimeoutMsMax } = this.options;
    const spentMs = scheduler.nowUs / 1000 - beginMs;
    if (!this.leaderSeen && spentMs > leaderTimeouts * electionTimeoutMsMax + patienceMs) {
      const message = `no leader ${Math.floor(spentMs)} ms after the healing: ${this.unrest() ?? ''}`;
      violations.add('availability', 'cluster', message);
    }
    if (this.probesAnswered === clients.length) return;
    if (spentMs <= answerTimeouts * electionTimeoutMsMax + patienceMs) return;
    const message =
      `${this.probesAnswered} of ${clients.length} clients could read and write ` +
      `${Math.floor(spentMs)} ms after the healing: ${this.unrest() ?? 'everything is at rest'}`;
    violations.add('availability', 'cluster', message);
  }

  /** Reads, writes something new and reads it back, until all of it succeeds. */
  private probe(client: ClientWorkload, key: string): void {
    client.run({ kind: 'get', key }, (early) => {
      if (early.result?.kind !== 'read') return this.probe(client, key);
      client.run(client.freshPut(key), (put) => {
        if (put.result?.kind !== 'written') return this.probe(client, key);
        client.run({ kind: 'get', key }, (late) => {
          if (late.result?.kind !== 'read' || late.result.records.length !== 1)
            return this.probe(client, key);
          this.probesAnswered++;
        });
      });
    });
  }

  private term(): number {
    return Math.max(...this.options.core.map(({ node }) => node?.raft?.currentTerm ?? 0));
  }

  /** Whom the whole core follows; it need not be of the core. */
  private leader(): Machine | undefined {
    const { machines, core } = this.options;
    const followed = new Set(core.map(({ node }) => node?.raft?.leaderId));
    const [leaderId] = followed;
    if (followed.size !== 1 || leaderId === undefined) return undefined;
    const leader = machines.find(({ name }) => name === leaderId);
    return leader?.node?.raft?.role === 'leader' ? leader : undefined;
  }

  /** Why the members of the core are not all in the same state; `undefined` when they are. */
  private unrest(): string | undefined {
    const { core } = this.options;
    const leader = this.leader();
    if (leader === undefined) {
      const views = core.map(({ name, node }) => {
        const { role = 'down', currentTerm = 0, leaderId = 'nobody' } = node?.raft ?? {};
        return `${name} is ${role} in term ${currentTerm} and follows ${leaderId}`;
      });
      return views.join(', ');
    }
    if (!this.options.mayLead(leader)) return `${leader.name} leads, which cannot last`;
    const { raft: first, stateMachine: firstState } = leader.node ?? {};
    const expected =
      `${first?.currentTerm}/${first?.lastIndex}/${first?.lastIndex}/${first?.lastIndex}/` +
      `${firstState?.stateHash}`;
    for (const { name, node } of core) {
      const { raft, stateMachine: state } = node ?? {};
      if (raft === undefined || state === undefined) return `${name} is not up`;
      const log =
        `${raft.currentTerm}/${raft.lastIndex}/${raft.commitIndex}/` +
        `${state.appliedIndex}/${state.stateHash}`;
      if (log !== expected) {
        return `${name} has term/last/committed/applied/state ${log}, the leader ${leader.name} ${expected}`;
      }
      if (state.durableAppliedIndex !== state.appliedIndex) return `${name} has not written its state`;
      if (state.contentHash !== firstState?.contentHash) return `${name} has other contents than the leader`;
    }
    return undefined;
  }
}
