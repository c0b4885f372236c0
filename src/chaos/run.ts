// One chaos run from the first process to the last: starts the nodes, loads them, carries out the plan,
// heals, waits until all nodes are in one state, reads every key once more and stops everything. Collects
// evidence and judges nothing. Must stop whatever it started, in order, however it ends; `interrupt` only
// makes it shorter.

import { connect, KvorumError } from '../client/index.js';
import { Prng } from '../base/prng.js';
import type { HistoryOperation } from '../sim/history/file.js';
import { pause, RunClock } from './clock.js';
import type { LaunchLoad, LoadProcess, NodeControl, NoticedDamage, UnexpectedExit } from './control.js';
import { Injector, type FaultRecord } from './faults/injector.js';
import type { Links } from './links.js';
import { describe } from './load/load.js';
import { counted } from './report/html.js';
import type { LoadReport } from './load/messages.js';
import { Observer, type Leadership, type NodePhase, type ObservedNode } from './observer.js';
import type { ChaosPlan } from './plan.js';

export interface ChaosOptions {
  readonly plan: ChaosPlan;
  /** Ids of the load processes, for which `links` has proxies. */
  readonly loadIds: readonly string[];
  /** Logical clients of all load processes together. */
  readonly clients: number;
  /** Keys in use at one time. */
  readonly keys: number;
  readonly keyPrefix: string;
  readonly nodes: readonly ObservedNode[];
  readonly links: Links;
  /** `undefined`: the nodes run already and belong to someone else. */
  readonly control: NodeControl | undefined;
  readonly launchLoad: LaunchLoad;
  onOperations(operations: readonly HistoryOperation[]): void;
  onFault(record: FaultRecord): void;
  /** What is being done now. */
  onPhase(words: string): void;
}

export type Convergence =
  | { readonly kind: 'converged'; readonly afterMs: number }
  | { readonly kind: 'not'; readonly reason: string }
  /** The run was interrupted before. */
  | { readonly kind: 'skipped' };

/** All that is known after a run. Times are nanoseconds since it began. */
export interface ChaosEvidence {
  readonly plan: ChaosPlan;
  readonly clients: number;
  readonly keys: number;
  /** Those of the final read included, as client `final`. In the order in which they were reported. */
  readonly operations: readonly HistoryOperation[];
  readonly faults: readonly FaultRecord[];
  readonly phases: readonly NodePhase[];
  readonly leaderships: readonly Leadership[];
  /** What the observer saw that must never be. */
  readonly problems: readonly string[];
  readonly exits: readonly UnexpectedExit[];
  readonly noticed: readonly NoticedDamage[];
  readonly convergence: Convergence;
  /** The store's revision in the end, when it was empty in the beginning and all nodes agree on it. */
  readonly finalRevision: number | undefined;
  /** Keys that the final read did not get an answer for. */
  readonly unreadKeys: readonly string[];
  readonly interrupted: boolean;
  /** Of a run that was interrupted: that a load process ended by itself, so that operations are missing. */
  readonly lostLoad?: string;
  readonly loadFromNs: number;
  readonly loadToNs: number;
  readonly endNs: number;
}

const formTimeoutMs = 60_000;
const convergeTimeoutMs = 90_000;
/** The longest operation, and what closing takes. */
const loadStopTimeoutMs = 12_000;
const keyLifeMs = 12_000;
/** Operations per second of all clients together, about. */
const operationsPerSecond = 400;
export const finalClient = 'final';

export class ChaosRun {
  private readonly options: ChaosOptions;
  private readonly clock = new RunClock();
  private readonly observer: Observer;
  private readonly injector: Injector;
  private readonly interrupting = new AbortController();
  private readonly operations: HistoryOperation[] = [];
  private readonly faults: FaultRecord[] = [];
  private readonly exits: UnexpectedExit[] = [];
  private readonly noticed: NoticedDamage[] = [];
  private readonly loads: LoadProcess[] = [];
  private loadProblem: string | undefined;
  /** That a load process ended by itself; its last operations are missing. */
  private lostLoad: string | undefined;
  private isCutShort = false;
  private stopping = false;

  constructor(options: ChaosOptions) {
    this.options = options;
    const { nodes, loadIds, control, links } = options;
    this.observer = new Observer(nodes, this.clock);
    this.injector = new Injector({
      nodeIds: nodes.map(({ id }) => id),
      clientIds: loadIds,
      control,
      links,
      clock: this.clock,
      leader: () => this.observer.leader,
      isWhole: (node, afterNs) => this.observer.isWhole(node, afterNs),
      onRecord: (record) => {
        this.faults.push(record);
        options.onFault(record);
      },
    });
  }

  /** What has been collected so far, in words. */
  get progress(): string {
    const done = this.faults.filter((record) => record.done === 'done').length;
    const faults = `${done} of ${counted(this.options.plan.faults.length, 'fault')}`;
    return `${counted(this.operations.length, 'operation')}, ${faults}`;
  }

  /** Ends the run early: `run` resolves soon, with what there is. */
  interrupt(): void {
    this.isCutShort = true;
    this.endEarly();
  }

  /** A node ended by itself. It is started again, so that the run goes on; the evidence keeps it. */
  nodeEnded(exit: UnexpectedExit): void {
    this.exits.push(exit);
    void pause(500, this.interrupting.signal).then(() => {
      if (!this.stopping && !this.interrupting.signal.aborted) this.options.control?.start(exit.nodeId);
    });
  }

  /** A node said that it found its disk damaged. */
  damageNoticed(nodeId: string): void {
    this.noticed.push({ nodeId, atNs: this.clock.nowNs() });
  }

  /** Rejects with UNAVAILABLE when the cluster does not form, or a load process failed. */
  async run(): Promise<ChaosEvidence> {
    const { plan, onPhase } = this.options;
    const { signal } = this.interrupting;
    try {
      await this.startNodes();
      onPhase('loading and tormenting the cluster');
      const loadFromNs = this.clock.nowNs();
      if (!signal.aborted) await this.startLoads();
      await Promise.all([this.injector.run(plan.faults), pause(plan.durationMs, signal)]);
      onPhase('healing');
      this.injector.heal();
      await this.stopLoads();
      const loadToNs = this.clock.nowNs();
      const problem = this.loadProblem ?? (this.isCutShort ? undefined : this.lostLoad);
      if (problem !== undefined) throw new KvorumError('INTERNAL', problem);
      const convergence = await this.converge();
      const unreadKeys = convergence.kind === 'skipped' ? [] : await this.readAll(convergence);
      const isCounted = convergence.kind === 'converged' && this.options.control !== undefined;
      const finalRevision = isCounted ? this.observer.report(this.firstNode)?.revision : undefined;
      return this.evidence({ convergence, finalRevision, unreadKeys, loadFromNs, loadToNs });
    } finally {
      await this.stopAll();
    }
  }

  private evidence(
    part: Pick<ChaosEvidence, 'convergence' | 'finalRevision' | 'unreadKeys' | 'loadFromNs' | 'loadToNs'>,
  ): ChaosEvidence {
    const { plan, clients, keys } = this.options;
    const { phases, leaderships, problems } = this.observer;
    const { operations, faults, exits, noticed } = this;
    return {
      ...part,
      plan,
      clients,
      keys,
      operations,
      faults,
      phases,
      leaderships,
      problems,
      exits,
      noticed,
      ...(this.lostLoad === undefined ? {} : { lostLoad: this.lostLoad }),
      interrupted: this.interrupting.signal.aborted,
      endNs: this.clock.nowNs(),
    };
  }

  private get firstNode(): string {
    return this.options.nodes[0]?.id ?? '';
  }

  private async startNodes(): Promise<void> {
    const { control, onPhase, nodes } = this.options;
    onPhase(control === undefined ? 'looking for the cluster' : `starting ${nodes.length} nodes`);
    for (const { id } of control?.nodes ?? []) control?.start(id);
    await this.observer.start();
    const reason = await this.settle(formTimeoutMs);
    if (reason === undefined || this.interrupting.signal.aborted) return;
    throw new KvorumError('UNAVAILABLE', `the cluster was not ready after ${formTimeoutMs} ms: ${reason}`);
  }

  /** Waits until all nodes are in one state; the reason why they are not when the time is over. */
  private async settle(timeoutMs: number): Promise<string | undefined> {
    const { signal } = this.interrupting;
    const endNs = this.clock.nowNs() + timeoutMs * 1e6;
    let reason = this.observer.disagreement();
    while (reason !== undefined && this.clock.nowNs() < endNs && !signal.aborted) {
      await pause(50, signal);
      reason = this.observer.disagreement();
    }
    return reason;
  }

  private async startLoads(): Promise<void> {
    const { plan, loadIds, clients, keys, keyPrefix, nodes, links, launchLoad } = this.options;
    const seeds = new Prng(plan.seed ^ 0x10ad);
    await Promise.all(
      loadIds.map((id, index) => {
        const share = Math.floor(clients / loadIds.length) + (index < clients % loadIds.length ? 1 : 0);
        const settings = {
          id,
          keys,
          keyPrefix,
          keyLifeMs,
          clients: share,
          endpoints: nodes.map((node) => links.addressSeenBy(id, node.id)),
          seed: seeds.uint32(),
          clockBase: this.clock.baseText,
          pauseMs: (clients / operationsPerSecond) * 1_000,
        };
        return new Promise<void>((resolve) => {
          const load = launchLoad((report) => {
            if (report.kind === 'ready') load.send({ kind: 'start', settings });
            if (report.kind === 'ready') resolve();
            else this.hear(id, report);
          });
          this.loads.push(load);
          void load.ended.then(({ isOrdinary, how }) => {
            if (!this.stopping && !isOrdinary) this.lose(`load process ${id} ended with ${how}`);
            resolve();
          });
        });
      }),
    );
  }

  private hear(id: string, report: LoadReport): void {
    if (report.kind === 'operations') {
      for (const operation of report.operations) this.operations.push(operation);
      this.options.onOperations(report.operations);
    } else if (report.kind === 'failed') {
      this.fail(`load process ${id} failed: ${report.message}`);
    }
  }

  /** Without all operations the history proves nothing. */
  private fail(problem: string): void {
    this.loadProblem ??= problem;
    this.endEarly();
  }

  /**
   * As `fail`, but not of a run that is cut short: whatever ends this process, such as a service manager, may
   * end the load processes at the same moment, and then there is still something to judge.
   */
  private lose(words: string): void {
    this.lostLoad ??= words;
    this.endEarly();
  }

  private endEarly(): void {
    this.interrupting.abort();
    this.injector.stop();
  }

  private async stopLoads(): Promise<void> {
    const atOnce = this.interrupting.signal.aborted;
    for (const load of this.loads) load.send({ kind: 'stop', atOnce });
    const ended = Promise.all(this.loads.map((load) => load.ended)).then(() => true);
    if (await Promise.race([ended, pause(loadStopTimeoutMs, this.interrupting.signal)])) return;
    for (const load of this.loads) load.send({ kind: 'stop', atOnce: true });
    if (await Promise.race([ended, pause(loadStopTimeoutMs)])) return;
    this.loadProblem ??= 'a load process did not end';
  }

  private async converge(): Promise<Convergence> {
    this.options.onPhase('waiting until all nodes are in one state');
    const startNs = this.clock.nowNs();
    const reason = await this.settle(convergeTimeoutMs);
    if (this.interrupting.signal.aborted) return { kind: 'skipped' };
    if (reason !== undefined) return { kind: 'not', reason: `after ${convergeTimeoutMs} ms: ${reason}` };
    return { kind: 'converged', afterMs: (this.clock.nowNs() - startNs) / 1e6 };
  }

  /**
   * Reads every key that was ever written to; those that could not be read. A cluster that did not recover is
   * given up at the first key that it does not answer for.
   */
  private async readAll({ kind }: Convergence): Promise<string[]> {
    const { nodes, onPhase, onOperations } = this.options;
    const keys = [...new Set(this.operations.map(({ k }) => k))].sort();
    onPhase(`reading ${counted(keys.length, 'key')} once more`);
    const unread: string[] = [];
    const client = await connect({ endpoints: nodes.map(({ address }) => address), lazy: true });
    try {
      for (const [index, k] of keys.entries()) {
        const call = this.clock.nowNs();
        try {
          const entry = await client.get(k, { signal: this.interrupting.signal });
          const out = { st: 'ok', ...describe(entry) } as const;
          const operation = { c: finalClient, op: 'get', k, call, ret: this.clock.nowNs(), out } as const;
          this.operations.push(operation);
          onOperations([operation]);
        } catch (error) {
          if (!KvorumError.is(error)) throw error;
          unread.push(k);
          if (kind !== 'converged') return keys.slice(index);
        }
      }
    } finally {
      await client.close();
    }
    return unread;
  }

  private async stopAll(): Promise<void> {
    const { control, links, onPhase } = this.options;
    this.stopping = true;
    onPhase('stopping');
    for (const load of this.loads) load.kill();
    await Promise.all(this.loads.map((load) => load.ended));
    await this.observer.stop();
    links.heal();
    await control?.stopAll();
    links.close();
  }
}
