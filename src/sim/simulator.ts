// Runs a plan: builds the world, lets every event happen, and looks after each one whether what must always
// hold still does. The nodes and the client engines in it are the production code, unmodified. Pure: the
// same plan gives the same result, down to the hash over all events. Source: design §9, research §4.

import type { Member } from '../wire/protocol.js';
import { decodePeerFrames } from '../wire/peer-codec.js';
import { checkInvariants, snapshotOf } from '../raft/invariants.js';
import type { Output } from '../raft/io.js';
import type { Message } from '../raft/messages.js';
import type { Raft } from '../raft/raft.js';
import { RaftCheckers } from './checkers/raft-checkers.js';
import { type Violation, Violations } from './checkers/violations.js';
import { checkHistory } from './checkers/witness.js';
import { ConvergenceChecker } from './convergence.js';
import { createClient } from './client.js';
import { FaultDriver } from './fault-driver.js';
import { History } from './history.js';
import { Machine, type MachineContext } from './machine.js';
import type { Plan } from './plan.js';
import { Scheduler } from './scheduler.js';
import { factsOf } from './store-facts.js';
import { Trace } from './trace.js';
import { VirtualNetwork } from './virtual-network.js';
import { ClientWorkload } from './workload.js';

export interface SimulationResult {
  readonly seed: number;
  /** Over all events and the final state, 16 hexadecimal digits: equal for equal plans. */
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly violations: readonly Violation[];
  /** How often rare things happened. */
  readonly coverage: Readonly<Record<string, number>>;
  /** The newest lines, oldest first. */
  readonly trace: readonly string[];
}

export interface SimulationOptions {
  /** `full` also has every message; `words`, the default, only what a run turns on. */
  readonly trace?: 'words' | 'full';
}

const basePort = 7401;
const firstClientOrdinal = 100;

/** Runs the plan to its end, or to the first violation of what must always hold. */
export function runSimulation(plan: Plan, options: SimulationOptions = {}): SimulationResult {
  return new Simulation(plan, options).run();
}

class Simulation {
  private readonly plan: Plan;
  private readonly scheduler = new Scheduler();
  private readonly violations = new Violations(() => this.scheduler.nowUs);
  private readonly trace: Trace;
  private readonly network: VirtualNetwork;
  private readonly checkers: RaftCheckers;
  private readonly history = new History();
  private readonly machines: readonly Machine[];
  private readonly clients: readonly ClientWorkload[];
  private readonly convergence: ConvergenceChecker;
  private readonly coverage = new Map<string, number>();
  private readonly guarded = new WeakSet<Raft>();
  /** Messages that left a node during the event under way. */
  private sentNow: Message[] = [];

  constructor(plan: Plan, options: SimulationOptions) {
    const { scheduler, violations } = this;
    this.plan = plan;
    this.trace = new Trace(() => scheduler.nowUs, options.trace ?? 'words');
    this.network = new VirtualNetwork(scheduler, plan.seed, plan.peerMode, { ...plan.conditions });
    this.checkers = new RaftCheckers(
      violations,
      plan.machines.map(({ name }) => name),
    );
    this.network.peerTap = (_from, _to, message) => this.tap(message);
    const members: Member[] = plan.machines.map(({ name }, i) => ({
      nodeId: name,
      address: `${name}.sim:${basePort + i}`,
    }));
    const context: MachineContext = {
      ...{ scheduler, violations, members, plan },
      network: this.network,
      log: (who, level, message, fields) => this.log(who, level, message, fields),
      count: (mark) => this.count(mark),
    };
    this.machines = plan.machines.map(
      (machine, i) => new Machine(context, machine, i + 1, members[i]?.address ?? ''),
    );
    for (const [i, machine] of this.machines.entries()) machine.startIn(plan.machines[i]?.startAtMs ?? 0);
    new FaultDriver(plan, scheduler, this.network, this.machines, (what) => this.trace.add('world', what));
    this.clients = this.createClients(members);
    this.convergence = new ConvergenceChecker(
      scheduler,
      violations,
      this.machines,
      this.clients,
      plan.safetyMs,
    );
  }

  run(): SimulationResult {
    const endUs = (this.plan.safetyMs + this.plan.healMs) * 1000;
    while (!this.violations.any && !this.convergence.isOver && this.next(endUs));
    if (!this.violations.any) this.judge();
    for (const { id, where, message } of this.violations.list)
      this.trace.add(where, `VIOLATES ${id}: ${message}`);
    return this.result();
  }

  /** Lets one event happen and looks at its node. False when there is none before the end. */
  private next(endUs: number): boolean {
    let machine: Machine | undefined;
    this.sentNow = [];
    try {
      const event = this.scheduler.step(endUs);
      if (event === undefined) return false;
      machine = event.process === undefined ? undefined : this.machines[event.process.ordinal - 1];
    } catch (error) {
      this.escaped(error);
    }
    if (machine !== undefined) this.look(machine);
    return true;
  }

  private look(machine: Machine): void {
    const { process, node } = machine;
    if (process?.doomed === false && node?.raft !== undefined) {
      this.guardSteps(node.raft);
      const change = this.checkers.observe(machine.name, machine.incarnation, node.raft, node.stateMachine);
      if (change !== undefined) this.trace.changed(change.now, change.before);
    }
    for (const message of this.sentNow) this.checkers.sent(message);
    machine.afterEvent();
  }

  /**
   * From now on the core's own invariants are checked around each of its steps; a broken one stops the
   * node.
   */
  private guardSteps(raft: Raft): void {
    if (this.guarded.has(raft)) return;
    this.guarded.add(raft);
    const step = raft.step.bind(raft);
    raft.step = (input): Output => {
      const before = snapshotOf(raft);
      const output = step(input);
      checkInvariants(before, snapshotOf(raft));
      return output;
    };
  }

  private escaped(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.violations.add('exception', 'world', text);
  }

  private tap(bytes: Uint8Array): void {
    for (const frame of decodePeerFrames(bytes)) {
      if (frame.kind !== 'raft') continue;
      this.sentNow.push(frame.message);
      this.trace.sent(frame.message);
    }
  }

  /** What can be told only at the end. */
  private judge(): void {
    this.convergence.finish();
    if (this.violations.any) return;
    const [first, ...others] = this.machines.map((machine) => factsOf(machine.store.records()));
    for (const facts of others) {
      if (JSON.stringify(facts) === JSON.stringify(first)) continue;
      this.violations.add('stateMachineSafety', 'cluster', 'the histories in the stores differ');
    }
    checkHistory(this.history.operations, first ?? [], this.violations);
    for (const { name, node } of this.machines) {
      this.scheduler.note(`${name} ${node?.stateMachine.stateHash} ${node?.stateMachine.contentHash}`);
    }
  }

  private createClients(members: readonly Member[]): ClientWorkload[] {
    const endpoints = members.map(({ address }) => address);
    return this.plan.clients.map((plan, i) => {
      const operations = this.plan.operations.filter(({ client }) => client === i);
      const { scheduler, network, history } = this;
      const { process, engine } = createClient(
        scheduler,
        network,
        this.plan.seed,
        plan.name,
        firstClientOrdinal + i,
        endpoints,
      );
      return new ClientWorkload({ scheduler, history, process, engine }, plan, operations);
    });
  }

  private log(who: string, level: string, message: string, fields: unknown): void {
    this.trace.log(who, level, message, fields);
    if (message.startsWith('cut off what a crash left')) this.count('torn tails');
  }

  private count(mark: string): void {
    this.coverage.set(mark, (this.coverage.get(mark) ?? 0) + 1);
  }

  private result(): SimulationResult {
    const { operations } = this.history;
    for (const { result } of operations) {
      if (result?.kind === 'failed') this.count(`failed with ${result.code}, ${result.outcome}`);
    }
    const failed = operations.filter(({ result }) => result?.kind === 'failed').length;
    return {
      seed: this.plan.seed,
      hash: this.scheduler.hash(),
      events: this.scheduler.eventCount,
      virtualMs: this.scheduler.nowUs / 1000,
      violations: this.violations.list,
      coverage: {
        ...Object.fromEntries(this.coverage),
        elections: this.checkers.elections.electionCount,
        truncations: this.checkers.logs.truncationCount,
        committed: this.checkers.committed.lastIndex,
        operations: operations.length,
        failedOperations: failed,
        starts: this.machines.reduce((sum, { incarnation }) => sum + incarnation, 0),
      },
      trace: this.trace.text,
    };
  }
}
