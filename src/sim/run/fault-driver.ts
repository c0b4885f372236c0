// Carries out the faults of a plan at their times. At the end of the safety phase it heals the core and
// leaves everything else as wrong as the plan says, for ever.

import { assertNever } from '../../base/assert.js';
import type { KvorumError } from '../../base/errors.js';
import type { Raft } from '../../raft/raft.js';
import type { Aftermath, Fault, FaultOf, MachineFault, NetworkFault, Rollback, Way } from '../plan/faults.js';
import type { MarkName } from './coverage-marks.js';
import type { Machine } from '../world/machine/machine.js';
import { NetworkFaults } from './network-faults.js';
import type { Plan } from '../plan/plan.js';
import { bothWays, waysBetween } from '../plan/topologies.js';
import type { Scheduler } from '../world/scheduler.js';
import type { VirtualNetwork } from '../world/network/network.js';

/** A client whose process can be stopped for a while. */
export interface PausableClient {
  readonly name: string;
  pause(): void;
  resume(): void;
  /** From now on it reads where an answer in time is promised. */
  readFromLeader(): void;
  /** Asks the node at the address, which is to lead; `done` gets why it was not done. */
  raiseFormat(address: string, level: number, done: (error: KvorumError | undefined) => void): void;
}

/** How often it is looked for a calm moment. */
const calmPollMs = 20;

/** A node outside the core comes and goes about as fast as an election. */
const flapPeriodMs = 900;
const flapShutMs = 500;

/** Longer than any run. */
const foreverMs = 1e9;

/** What faults are done to. */
export interface FaultedWorld {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly network: VirtualNetwork;
  readonly machines: readonly Machine[];
  /** In the plan's order. */
  readonly clients: readonly PausableClient[];
  log(what: string): void;
  count(mark: MarkName): void;
  /** What the node promised is forgotten, as it has forgotten it itself. */
  forget(nodeId: string): void;
}

type Drivers = { readonly [K in Fault['kind']]: (fault: FaultOf<K>) => void };

type DiskFaultKind = 'slowDisk' | 'diskSpikes' | 'stuckDisk' | 'failDisk' | 'fullDisk';
type ProcessFaultKind = Exclude<MachineFault['kind'], DiskFaultKind>;

export class FaultDriver {
  private readonly world: FaultedWorld;
  private readonly scheduler: Scheduler;
  private readonly networkFaults: NetworkFaults;
  private readonly machines: readonly Machine[];
  private readonly drivers = this.makeDrivers();
  private healed = false;
  /** What is wrong for ever, and with whom, once the world has healed. */
  readonly leftWrong = new Map<Machine, Aftermath>();

  constructor(world: FaultedWorld) {
    const { plan, scheduler, network, machines, log } = world;
    this.world = world;
    this.scheduler = scheduler;
    this.machines = machines;
    const ordinary = plan.conditions;
    const leader = (): Machine | undefined => this.leader();
    this.networkFaults = new NetworkFaults({ scheduler, network, machines, ordinary, log, leader });
    for (const fault of plan.faults) this.at(fault.atMs, () => this.begin(fault));
    this.at(plan.safetyMs, () => this.heal());
  }

  private begin(fault: Fault): void {
    if (this.healed) return;
    const drive = this.drivers[fault.kind] as (fault: Fault) => void;
    drive(fault);
  }

  /** How each kind of fault is carried out. */
  private makeDrivers(): Drivers {
    const network = (fault: NetworkFault): void => this.networkFaults.begin(fault);
    return {
      cut: network,
      flap: network,
      clog: network,
      halfOpen: network,
      reset: network,
      throttle: network,
      conditions: network,
      ...this.processDrivers(),
      ...this.diskDrivers(),
      pauseClient: ({ client: position, atMs, forMs }) => {
        const client = this.world.clients[position];
        if (client === undefined) return;
        this.world.log(`${client.name} is paused`);
        client.pause();
        this.until(atMs + forMs, () => client.resume());
      },
      raiseFormat: ({ level }) => {
        const leader = this.leader();
        this.world.log(`${leader?.name ?? 'nobody'} is asked for format level ${level}`);
        this.world.clients[0]?.raiseFormat(leader?.address ?? '', level, (error) => {
          this.world.log(
            error === undefined ? `raised to format level ${level}` : `not raised: ${error.message}`,
          );
        });
      },
      rollback: (fault) => {
        this.machines[fault.node]?.keepCopy();
        this.until(fault.backAtMs, () => this.rollBack(fault));
      },
    };
  }

  private processDrivers(): Pick<Drivers, ProcessFaultKind> {
    return {
      crash: (fault) => this.machineOf(fault)?.crash(fault),
      damage: this.onMachine((machine, fault) => {
        // What is not there yet cannot be damaged, and before all are members nobody has it in safety.
        if (this.machines.every(({ wasMember }) => wasMember)) machine.damage(fault);
      }),
      restart: this.onMachine((machine, { downMs }) => machine.restart(downMs)),
      pause: this.onMachine((machine, { atMs, forMs, resume }) => {
        machine.pause();
        this.until(atMs + forMs, () => machine.resume(resume));
      }),
      slowProcessor: this.onMachine((machine, { untilMs, eventCostUs }) => {
        machine.slowProcessor(eventCostUs);
        this.until(untilMs, () => machine.slowProcessor(0));
      }),
      wallJump: this.onMachine((machine, { byMs }) => machine.jumpWallClock(byMs)),
      replaceSoftware: this.onMachine((machine, { formatLevelMax, downMs }) =>
        machine.replaceSoftware(formatLevelMax, downMs),
      ),
      freezeClock: this.onMachine((machine, { forMs }) => machine.process?.freezeClock(forMs * 1000)),
    };
  }

  private diskDrivers(): Pick<Drivers, DiskFaultKind> {
    return {
      slowDisk: this.onMachine((machine, { untilMs, factor }) => {
        machine.disk.slowness = factor;
        machine.stores.slowness = factor;
        this.until(untilMs, () => {
          machine.disk.slowness = 1;
          machine.stores.slowness = 1;
        });
      }),
      diskSpikes: this.onMachine((machine, { untilMs, chance, spikeMs }) => {
        machine.disk.spikes = { chance, spikeUs: spikeMs * 1000 };
        this.until(untilMs, () => {
          machine.disk.spikes = undefined;
        });
      }),
      stuckDisk: this.onMachine((machine, { forMs }) => machine.stickDisk(forMs)),
      failDisk: this.onMachine((machine, { operation }) => machine.failDisk(operation)),
      fullDisk: this.onMachine((machine, { untilMs, freeBytes }) => {
        machine.limitDisk(freeBytes);
        this.until(untilMs, () => machine.freeDisk());
      }),
    };
  }

  /** Tells the trace of the fault, and does it to its machine; nothing when there is none. */
  private onMachine<F extends MachineFault>(run: (machine: Machine, fault: F) => void): (fault: F) => void {
    return (fault) => {
      const machine = this.machineOf(fault);
      if (machine === undefined) return;
      this.world.log(`${machine.name}: ${JSON.stringify(fault)}`);
      run(machine, fault);
    };
  }

  private machineOf({ node }: MachineFault): Machine | undefined {
    const machine = this.machines[node] ?? this.leader();
    return machine?.isGone === true ? undefined : machine;
  }

  /** Rolls the machine back as soon as nothing that it promised since is needed; see `isCalm`. */
  private rollBack(fault: Rollback): void {
    const machine = this.machines[fault.node];
    if (machine === undefined || machine.isGone) return;
    if (!this.isCalm(machine)) {
      this.until(this.scheduler.nowUs / 1000 + calmPollMs, () => this.rollBack(fault));
      return;
    }
    if (machine.rollBack(fault.downMs)) this.world.forget(machine.name);
  }

  /**
   * All follow one leader, which is not the victim, in one term, and everyone else has the same log on disk,
   * all of it committed. Then no vote that the victim forgets can count for anybody any more, and a majority
   * without it holds every entry that it forgets.
   */
  private isCalm(victim: Machine): boolean {
    const rafts = this.machines.map(({ node, process }) =>
      process?.state === 'running' ? node?.raft : undefined,
    );
    const leader = rafts.find((raft) => raft?.role === 'leader');
    if (leader === undefined || leader.nodeId === victim.name || leader.commitIndex < leader.lastIndex)
      return false;
    const isWithLeader = (raft: Raft | undefined): boolean =>
      raft?.currentTerm === leader.currentTerm && raft.leaderId === leader.nodeId && !raft.isCatchingUp;
    const others = rafts.filter((raft) => raft?.nodeId !== victim.name);
    const holdsAll = (raft: Raft | undefined): boolean => raft?.durableIndex === leader.lastIndex;
    return rafts.every(isWithLeader) && others.every(holdsAll);
  }

  /** Whoever leads in the highest term; the first machine when nobody does. */
  private leader(): Machine | undefined {
    let leader = this.machines[0];
    let term = 0;
    for (const machine of this.machines) {
      const raft = machine.node?.raft;
      if (raft?.role !== 'leader' || raft.currentTerm <= term) continue;
      [leader, term] = [machine, raft.currentTerm];
    }
    return leader;
  }

  private heal(): void {
    this.healed = true;
    this.networkFaults.heal();
    for (const client of this.world.clients) client.resume();
    // A cluster that is not formed needs all its members.
    const isFormed = this.machines.every(({ wasMember }) => wasMember);
    const others = isFormed ? (this.world.plan.core?.others ?? []) : [];
    // The node nearest to a client may be one that never has an answer again.
    if (others.length > 0) for (const client of this.world.clients) client.readFromLeader();
    for (const [position, machine] of this.machines.entries()) {
      const state = others.find(({ node }) => node === position)?.state;
      if (state === undefined) machine.heal();
      else this.leaveWrong(machine, state);
    }
    this.world.log(others.length === 0 ? 'everything works from now on' : 'the core works from now on');
  }

  /** What stays wrong with a node that is not of the core. */
  private leaveWrong(machine: Machine, state: Aftermath): void {
    const { name } = machine;
    this.leftWrong.set(machine, state);
    this.world.log(`${name} is ${state} for ever`);
    const nodes = this.machines.map((other) => other.name).filter((other) => other !== name);
    if (state === 'dead') machine.bury();
    // One that leads and is alive, but too slow for any request, is not deposed.
    machine.slowProcessor(0);
    if (state === 'dead' || state === 'sick') return;
    machine.heal();
    const outward = nodes.map((other): Way => [name, other]);
    const inward = nodes.map((other): Way => [other, name]);
    const clients = this.world.clients.map((client) => client.name);
    switch (state) {
      case 'stuck':
        machine.stickDisk(foreverMs);
        return;
      case 'cut':
        this.world.network.block([...outward, ...inward, ...waysBetween([name], clients)]);
        return;
      case 'deaf':
        this.world.network.block(inward);
        return;
      case 'mute':
        this.world.network.block(outward);
        return;
      case 'flapping': {
        const ways = nodes.flatMap((other) => bothWays(name, other));
        this.networkFaults.flap(ways, flapPeriodMs, flapShutMs, Infinity);
        return;
      }
      default:
        assertNever(state);
    }
  }

  private at(timeMs: number, action: () => void): void {
    this.scheduler.scheduleAt(Math.max(timeMs * 1000, this.scheduler.nowUs), 'fault', undefined, action);
  }

  /** As `at`, unless the world has healed by then, which ended it already. */
  private until(timeMs: number, action: () => void): void {
    this.at(timeMs, () => {
      if (!this.healed) action();
    });
  }
}
