// The virtual world that the simulator and the test cluster share: machines with the production nodes on
// them, the network between them, and the checkers that look at a node after each of its events. It decides
// nothing: what goes wrong and what is asked comes from its owner.

import type { Member } from '../../wire/clients/answers.js';
import { decodePeerFrames } from '../../wire/peers/codec.js';
import { checkInvariants, snapshotOf } from '../../raft/invariants.js';
import type { Output } from '../../raft/io.js';
import type { Message } from '../../raft/messages.js';
import type { Raft } from '../../raft/raft.js';
import type { NodeEvent } from '../../server/events.js';
import type { StreamTopics } from '../../server/front/streams.js';
import { streamTopics } from '../../server/front/topics.js';
import { RaftCheckers } from '../checkers/raft/raft-checkers.js';
import { Violations } from '../checkers/violations.js';
import { CoverageMarks } from './coverage-marks.js';
import { Machine, type MachineContext } from '../world/machine/machine.js';
import type { Plan } from '../plan/plan.js';
import type { SimulationObserver } from './trace-recorder.js';
import { nodeConfigOf } from '../world/machine/config.js';
import { type ScheduledEvent, Scheduler } from '../world/scheduler.js';
import { Trace } from './trace.js';
import { VirtualNetwork } from '../world/network/network.js';

/** Ordinals of processes: machines count from 1, clients from here. */
export const firstClientOrdinal = 100;
const basePort = 7401;

export class World {
  readonly scheduler = new Scheduler();
  readonly violations = new Violations(() => this.scheduler.nowUs);
  readonly trace: Trace;
  readonly network: VirtualNetwork;
  readonly checkers: RaftCheckers;
  /** In the order of the plan; the ordinal of its processes is the position plus 1. */
  readonly machines: readonly Machine[];
  readonly members: readonly Member[];
  /** How often rare things happened. */
  readonly coverage = new Map<string, number>();
  private readonly marks = new CoverageMarks((mark) => this.count(mark));
  private readonly watched = new WeakSet<Raft>();
  /** Messages that left a node during the event under way. */
  private sentNow: Message[] = [];

  /** Builds what the plan says of the world and starts its machines; clients and faults are the owner's. */
  constructor(
    plan: Plan,
    traceDetail: 'words' | 'full',
    observer?: SimulationObserver,
    topics: StreamTopics = streamTopics,
  ) {
    const { scheduler, violations } = this;
    this.trace = new Trace(() => scheduler.nowUs, traceDetail, observer);
    this.network = new VirtualNetwork(scheduler, plan.seed, plan.peerMode, { ...plan.conditions });
    this.checkers = new RaftCheckers(
      violations,
      plan.machines.map(({ name }) => name),
      { inFlight: plan.knobs, electionTimeoutMsMax: nodeConfigOf(plan.knobs).raft.electionTimeoutMsMax },
    );
    this.network.peerTap = (from, to, message) => this.tap(from, to, message);
    this.members = plan.machines.map(({ name }, i) => ({
      nodeId: name,
      address: `${name}.sim:${basePort + i}`,
    }));
    const context: MachineContext = {
      scheduler,
      violations,
      plan,
      topics,
      members: this.members,
      network: this.network,
      log: (who, level, message, fields) => this.trace.log(who, level, message, fields),
      processStarts: ({ name }, formatLevelMax) => this.checkers.formatLevels.starts(name, formatLevelMax),
      highestLevel: () => this.checkers.formatLevels.highestLevel,
      event: (machine, event) => this.happened(machine, event),
      count: (mark) => this.count(mark),
    };
    this.machines = plan.machines.map(
      (machine, i) => new Machine(context, machine, i + 1, this.members[i]?.address ?? ''),
    );
    for (const [i, machine] of this.machines.entries()) machine.startIn(plan.machines[i]?.startAtMs ?? 0);
  }

  /**
   * Lets one event happen and looks at its node. Returns it; `undefined` when there is none up to `untilUs`.
   * An exception that escapes from an event is a violation, and ends nothing but the event.
   */
  step(untilUs: number): ScheduledEvent | 'escaped' | undefined {
    let event: ScheduledEvent | undefined;
    // Most events send nothing.
    if (this.sentNow.length > 0) this.sentNow = [];
    try {
      event = this.scheduler.step(untilUs);
    } catch (error) {
      this.escaped(error);
      return 'escaped';
    }
    const machine = event?.process === undefined ? undefined : this.machines[event.process.ordinal - 1];
    if (machine !== undefined) this.look(machine);
    return event;
  }

  count(mark: string): void {
    this.coverage.set(mark, (this.coverage.get(mark) ?? 0) + 1);
  }

  private look(machine: Machine): void {
    const { process, node } = machine;
    if (process?.doomed === false && node?.raft !== undefined) {
      this.watchSteps(machine.name, node.raft);
      const change = this.checkers.observe(
        machine.name,
        // An install starts another replica within a process.
        machine.incarnation + node.generation / 1_000,
        node.raft,
        node.stateMachine,
      );
      if (change !== undefined) this.trace.changed(change.now, change.before);
    }
    for (const message of this.sentNow) this.checkers.sent(message, process?.doomed !== false);
    machine.afterEvent();
  }

  /**
   * From now on the core's own invariants are checked around each of its steps; a broken one stops the
   * node.
   */
  private watchSteps(name: string, raft: Raft): void {
    if (this.watched.has(raft)) return;
    this.watched.add(raft);
    this.checkers.replicaStarted(name, raft);
    const step = raft.step.bind(raft);
    // Nothing but a step changes a core: as one leaves it, the next one finds it.
    let before = snapshotOf(raft);
    raft.step = (input): Output => {
      const output = step(input);
      const after = snapshotOf(raft);
      checkInvariants(before, after);
      this.marks.stepped(raft, before, input, output);
      before = after;
      this.checkers.stepped(name, input, output, raft);
      return output;
    };
  }

  private escaped(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.violations.add('exception', 'world', text);
  }

  private tap(from: string, to: string, bytes: Uint8Array): void {
    for (const frame of decodePeerFrames(bytes)) {
      this.marks.sent(from, to, frame);
      if (frame.kind !== 'raft') continue;
      this.sentNow.push(frame.message);
      this.trace.sent(frame.message);
    }
  }

  private happened(machine: Machine, event: NodeEvent): void {
    if (event.kind === 'historiesDiffer' || event.kind === 'stateHashesDiffer') {
      // No fault of a plan brings it about: a disk is set back only when nothing that it forgets is needed.
      this.violations.add('falseAlarm', machine.name, JSON.stringify(event));
    }
    if (event.kind === 'repairBegins') this.checkers.repairBegins(machine.name);
    this.marks.happened(event, machine.node?.raft);
  }
}
