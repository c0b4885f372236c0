// Runs a plan: lets every event of its world happen, which is looked at after each one, and judges at the end
// what was answered. The nodes and the client engines in it are the production code, unmodified. Pure: the
// same plan gives the same result, down to the hash over all events.

import { kvLimits } from '../../kv/commands.js';
import type { Member } from '../../wire/clients/answers.js';
import { checkSecondOpinion } from '../checkers/clients/second-opinion.js';
import type { Violation } from '../checkers/violations.js';
import { checkHistory } from '../checkers/clients/witness.js';
import { ConvergenceChecker } from './convergence.js';
import { createClient } from '../world/client.js';
import { FaultDriver } from './fault-driver.js';
import { History } from '../history/history.js';
import type { Machine } from '../world/machine/machine.js';
import type { Plan } from '../plan/plan.js';
import type { SimulationObserver } from './trace-recorder.js';
import { SteadinessChecker } from './steadiness.js';
import { judgeStores } from './store-judge.js';
import { nodeConfigOf } from '../world/machine/config.js';
import { ClientWorkload } from '../workloads/workload.js';
import { firstClientOrdinal, World } from './world.js';

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
  /** Is told what happens; must not change anything. */
  readonly observer?: SimulationObserver;
}

/** Runs the plan to its end, or to the first violation of what must always hold. */
export function runSimulation(plan: Plan, options: SimulationOptions = {}): SimulationResult {
  return new Simulation(plan, options).run();
}

class Simulation {
  private readonly plan: Plan;
  private readonly world: World;
  private readonly observer: SimulationObserver | undefined;
  private readonly history = new History();
  private readonly clients: readonly ClientWorkload[];
  private readonly convergence: ConvergenceChecker;

  constructor(plan: Plan, options: SimulationOptions) {
    this.plan = plan;
    this.observer = options.observer;
    const world = new World(plan, options.trace ?? 'words', options.observer);
    this.world = world;
    const { scheduler, network, machines, violations, trace } = world;
    this.clients = this.createClients(world.members);
    const { clients } = this;
    const driver = new FaultDriver({
      plan,
      scheduler,
      network,
      machines,
      clients,
      log: (what) => trace.add('world', what),
      count: (mark) => world.count(mark),
      forget: (nodeId) => world.checkers.forget(nodeId),
    });
    if (plan.steady !== undefined) {
      new SteadinessChecker({
        scheduler,
        violations,
        history: this.history,
        steady: plan.steady,
        untilMs: plan.safetyMs,
        electionCount: () => world.checkers.elections.electionCount,
      });
    }
    this.convergence = new ConvergenceChecker({
      scheduler,
      violations,
      machines,
      clients,
      beginMs: plan.safetyMs,
      electionTimeoutMsMax: nodeConfigOf(plan.knobs).raft.electionTimeoutMsMax,
      core: this.core,
      mayLead: (machine) => ['sick', undefined].includes(driver.leftWrong.get(machine)),
    });
  }

  /** The machines that must come to rest in the healed phase. */
  private get core(): Machine[] {
    const { plan, world } = this;
    return world.machines.filter((_, i) => plan.core === undefined || plan.core.nodes.includes(i));
  }

  run(): SimulationResult {
    const { world, convergence } = this;
    const endUs = (this.plan.safetyMs + this.plan.healMs) * 1000;
    while (!world.violations.any && !convergence.isOver && this.step(endUs));
    if (!world.violations.any) this.judge();
    for (const violation of world.violations.list) world.trace.violates(violation);
    return this.result();
  }

  /** Lets one event happen. False when there is none before the end. */
  private step(endUs: number): boolean {
    const { world, observer } = this;
    const event = world.step(endUs);
    if (observer !== undefined) {
      if (event !== undefined && event !== 'escaped') {
        observer.event?.(event, () => world.scheduler.hash());
      }
      observer.asked?.(world.scheduler.nowUs, this.history.operations);
    }
    return event !== undefined;
  }

  /** What can be told only at the end. */
  private judge(): void {
    const { machines, violations, scheduler } = this.world;
    this.convergence.finish();
    if (violations.any) return;
    const facts = judgeStores(this.core, machines, violations);
    checkHistory(this.history.operations, facts, violations);
    checkSecondOpinion(this.history.operations, facts, violations);
    for (const { name, node } of machines) {
      scheduler.note(`${name} ${node?.stateMachine?.stateHash} ${node?.stateMachine?.contentHash}`);
    }
  }

  private createClients(members: readonly Member[]): ClientWorkload[] {
    const endpoints = members.map(({ address }) => address);
    return this.plan.clients.map((plan, i) => {
      const operations = this.plan.operations.filter(({ client }) => client === i);
      const { history } = this;
      const { scheduler, network } = this.world;
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

  private result(): SimulationResult {
    const { operations } = this.history;
    const { world } = this;
    for (const { result } of operations) {
      if (result?.kind !== 'failed') continue;
      world.count(`failed with ${result.code}, ${result.outcome}`);
      if (result.outcome === 'unknown') world.count('write with unknown outcome');
      if (result.code === 'NO_SPACE') world.count('no space');
    }
    for (const fault of this.plan.faults) {
      const isLong = fault.kind === 'pauseClient' && fault.forMs > kvLimits.sessionLifeMs;
      if (isLong) world.count('client silent beyond its session');
    }
    const others = this.plan.core?.others ?? [];
    if (others.length > 0) world.count('core without a node');
    if (others.some(({ state }) => state === 'deaf')) world.count('node heard and deaf for ever');
    const failed = operations.filter(({ result }) => result?.kind === 'failed').length;
    return {
      seed: this.plan.seed,
      hash: world.scheduler.hash(),
      events: world.scheduler.eventCount,
      virtualMs: world.scheduler.nowUs / 1000,
      violations: world.violations.list,
      coverage: {
        ...Object.fromEntries(world.coverage),
        elections: world.checkers.elections.electionCount,
        truncations: world.checkers.logs.truncationCount,
        committed: world.checkers.committed.lastIndex,
        operations: operations.length,
        failedOperations: failed,
        starts: world.machines.reduce((sum, { incarnation }) => sum + incarnation, 0),
      },
      trace: world.trace.text,
    };
  }
}
