// Carries out the faults of a plan at their times, and ends them all when the world heals. Faults of one
// kind may overlap; what befalls messages is always the worst of those that are on.

import type { Machine } from './machine.js';
import { theFollowers, theLeader, type Fault, type Plan, type Way } from './plan.js';
import type { Scheduler } from './scheduler.js';
import type { Conditions } from './virtual-connection.js';
import type { VirtualNetwork } from './virtual-network.js';

type ConditionsFault = Extract<Fault, { kind: 'conditions' }>;
type CutFault = Extract<Fault, { kind: 'cut' }>;

export class FaultDriver {
  private readonly scheduler: Scheduler;
  private readonly network: VirtualNetwork;
  private readonly machines: readonly Machine[];
  private readonly ordinary: Readonly<Conditions>;
  private readonly conditions = new Set<ConditionsFault>();
  private readonly cuts = new Set<CutFault>();
  private readonly log: (what: string) => void;
  private healed = false;

  constructor(
    plan: Plan,
    scheduler: Scheduler,
    network: VirtualNetwork,
    machines: readonly Machine[],
    log: (what: string) => void,
  ) {
    this.scheduler = scheduler;
    this.network = network;
    this.machines = machines;
    this.ordinary = plan.conditions;
    this.log = log;
    for (const fault of plan.faults) this.at(fault.atMs, () => this.begin(fault));
    this.at(plan.safetyMs, () => this.heal());
  }

  private begin(fault: Fault): void {
    if (this.healed) return;
    switch (fault.kind) {
      case 'cut':
        this.cut(fault);
        return;
      case 'conditions':
        this.conditions.add(fault);
        this.log(`messages: ${JSON.stringify(fault)}`);
        this.applyConditions();
        this.at(fault.untilMs, () => {
          this.conditions.delete(fault);
          this.applyConditions();
        });
        return;
      default:
        this.beginOnMachine(fault, this.machines[fault.node] ?? this.leader());
    }
  }

  private beginOnMachine(
    fault: Exclude<Fault, { kind: 'cut' | 'conditions' }>,
    machine: Machine | undefined,
  ): void {
    if (machine === undefined) return;
    if (fault.kind !== 'crash') this.log(`${machine.name}: ${JSON.stringify(fault)}`);
    switch (fault.kind) {
      case 'crash':
        machine.crash(fault);
        return;
      case 'restart':
        machine.restart(fault.downMs);
        return;
      case 'pause':
        machine.pause();
        this.until(fault.atMs + fault.forMs, () => machine.resume(fault.resume));
        return;
      case 'slowDisk':
        machine.disk.slowness = fault.factor;
        machine.stores.slowness = fault.factor;
        this.until(fault.untilMs, () => {
          machine.disk.slowness = 1;
          machine.stores.slowness = 1;
        });
        return;
      case 'stuckDisk':
        machine.disk.stuckUntilUs = this.scheduler.nowUs + fault.forMs * 1000;
        return;
      case 'failDisk':
        machine.failDisk(fault.operation);
        return;
      case 'fullDisk':
        machine.limitDisk(fault.freeBytes);
        this.until(fault.untilMs, () => machine.freeDisk());
        return;
      case 'wallJump':
        machine.jumpWallClock(fault.byMs);
    }
  }

  private cut(planned: CutFault): void {
    const fault = { ...planned, ways: this.resolve(planned.ways) };
    this.cuts.add(fault);
    this.log(`cut: ${fault.ways.map(([from, to]) => `${from}>${to}`).join(' ')}`);
    this.network.block(fault.ways, fault.refuses ?? false);
    this.until(fault.untilMs, () => this.mend(fault));
  }

  private mend(fault: CutFault): void {
    if (!this.cuts.delete(fault)) return;
    this.log(`mended: ${fault.ways.map(([from, to]) => `${from}>${to}`).join(' ')}`);
    this.network.unblock(fault.ways);
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

  private resolve(ways: readonly Way[]): Way[] {
    const leader = this.leader()?.name ?? '';
    const namesOf = (host: string): string[] => {
      if (host === theLeader.name) return [leader];
      if (host !== theFollowers) return [host];
      return this.machines.map(({ name }) => name).filter((name) => name !== leader);
    };
    return ways
      .flatMap(([from, to]) => namesOf(from).flatMap((a) => namesOf(to).map((b): Way => [a, b])))
      .filter(([from, to]) => from !== to);
  }

  private heal(): void {
    this.healed = true;
    this.log('everything works from now on');
    this.conditions.clear();
    this.applyConditions();
    for (const fault of [...this.cuts]) this.mend(fault);
    for (const machine of this.machines) machine.heal();
  }

  private applyConditions(): void {
    const { conditions } = this.network;
    // The world that heals is an ordinary one: no message is lost any more, whatever the plan began with.
    const { latencyUsMin, latencyUsMean } = this.ordinary;
    const calm = { loss: 0, duplication: 0, reordering: 0, latencyFactor: 1 };
    const all = [this.healed ? calm : { ...this.ordinary, latencyFactor: 1 }, ...this.conditions];
    const worst = (field: keyof typeof calm): number => Math.max(...all.map((fault) => fault[field]));
    conditions.loss = worst('loss');
    conditions.duplication = worst('duplication');
    conditions.reordering = worst('reordering');
    conditions.latencyUsMin = latencyUsMin * worst('latencyFactor');
    conditions.latencyUsMean = latencyUsMean * worst('latencyFactor');
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
