// Carries out a plan of faults against real processes and real links, and writes down what was really done.
// One fault at a time holds a node's process; a fault that finds no node left for it is skipped and says so.
// Must never damage the disks of more than a minority at once, and leaves nothing broken behind after `heal`.

import { assertNever } from '../../base/assert.js';
import { Prng } from '../../base/prng.js';
import { pause, type RunClock } from '../clock.js';
import type { ChaosNode, NodeControl } from '../control.js';
import { damageLog, holdSyncs, rotStore, setDiskFull, tearTail } from './disk-faults.js';
import type { LinkRule, Links } from '../links.js';
import { networkFault, type NetworkFault } from './network-faults.js';
import { faultKinds, type FaultName, type PlannedFault, type Scope } from '../plan.js';

/** What became of a planned fault. One line of faults.jsonl. */
export interface FaultRecord {
  readonly id: number;
  readonly kind: FaultName;
  /** The nodes it was about. */
  readonly nodes: readonly string[];
  /** What was done, in words. */
  readonly words: string;
  readonly done: 'done' | 'skipped';
  readonly fromNs: number;
  readonly toNs: number;
}

export interface InjectorOptions {
  readonly nodeIds: readonly string[];
  readonly clientIds: readonly string[];
  /** `undefined`: the processes are someone else's. */
  readonly control: NodeControl | undefined;
  readonly links: Links;
  readonly clock: RunClock;
  /** Who leads now, as far as is known. */
  leader(): string | undefined;
  /** Whether a node was up and had all it needs to take part when it was last asked, after this time. */
  isWhole(nodeId: string, afterNs: number): boolean;
  onRecord(record: FaultRecord): void;
}

/** Between the two halves of flapping. */
const flapMs = [300, 2_500] as const;
/** Between the last completed sync and the kill of a torn tail. */
const heldMs = [5, 60] as const;

export class Injector {
  private readonly options: InjectorOptions;
  private readonly stopping = new AbortController();
  /** Nodes whose process a fault holds. */
  private readonly held = new Set<string>();
  /** Nodes whose synced data was damaged and that were not seen whole since, with the time it happened. */
  private readonly damaged = new Map<string, number>();

  constructor(options: InjectorOptions) {
    this.options = options;
  }

  /** Resolves when all faults are over, the last ones included, or `stop` was called. */
  async run(faults: readonly PlannedFault[]): Promise<void> {
    const { signal } = this.stopping;
    const running: Promise<void>[] = [];
    const startNs = this.options.clock.nowNs();
    for (const fault of faults) {
      await pause(fault.atMs - (this.options.clock.nowNs() - startNs) / 1e6, signal);
      if (signal.aborted) break;
      running.push(this.carryOut(fault));
    }
    await Promise.all(running);
  }

  /** Ends faults under way early and begins no more; `run` resolves soon. */
  stop(): void {
    this.stopping.abort();
  }

  /** Everything on: all links free, every disk with room, every process running. */
  heal(): void {
    const { links, control } = this.options;
    links.heal();
    for (const node of control?.nodes ?? []) {
      setDiskFull(node, false);
      holdSyncs(node, false);
      control?.signal(node.id, 'SIGCONT');
      control?.start(node.id);
    }
  }

  private async carryOut(fault: PlannedFault): Promise<void> {
    const { clock, onRecord } = this.options;
    const { id, kind } = fault;
    const fromNs = clock.nowNs();
    const dice = new Prng(fault.dice);
    const usesProcess = faultKinds[kind].holds === 'process';
    const nodes = this.chooseNodes(kind, fault.scope, dice).sort();
    const record = (done: FaultRecord['done'], words: string): void =>
      onRecord({ id, kind, nodes, words, done, fromNs, toNs: clock.nowNs() });
    if (nodes.length === 0) {
      record('skipped', 'every node it could be about was already in the hands of another fault');
      return;
    }
    if (usesProcess) for (const node of nodes) this.held.add(node);
    try {
      const words = await this.effect(fault, nodes, dice);
      record(
        words === undefined ? 'skipped' : 'done',
        words ?? 'there was nothing yet that it could be done to',
      );
    } finally {
      if (usesProcess) for (const node of nodes) this.held.delete(node);
    }
  }

  private async effect(
    { kind, durationMs }: PlannedFault,
    nodes: readonly string[],
    dice: Prng,
  ): Promise<string | undefined> {
    const wait = (): Promise<void> => pause(durationMs, this.stopping.signal);
    const names = nodes.join(', ');
    switch (kind) {
      case 'kill':
        await this.each(nodes, (node, control) => control.kill(node.id));
        await wait();
        await this.each(nodes, (node, control) => control.start(node.id));
        return `SIGKILL to ${names}`;
      case 'restart':
        await this.each(nodes, (node, control) => control.stop(node.id));
        await wait();
        await this.each(nodes, (node, control) => control.start(node.id));
        return `SIGTERM to ${names}`;
      case 'pause':
        await this.each(nodes, (node, control) => control.signal(node.id, 'SIGSTOP'));
        await wait();
        await this.each(nodes, (node, control) => control.signal(node.id, 'SIGCONT'));
        return `SIGSTOP to ${names}`;
      case 'torn-tail':
      case 'damage':
      case 'rot':
        return this.spoil(kind, nodes, dice, wait);
      case 'disk-full':
        await this.each(nodes, (node) => setDiskFull(node, true));
        await wait();
        await this.each(nodes, (node) => setDiskFull(node, false));
        return `no space for ${names}`;
      case 'reset': {
        const { links } = this.options;
        const count = links.reset((from, to) => nodes.includes(from) || nodes.includes(to));
        return `${count} connections of ${names} reset`;
      }
      case 'one-way':
      case 'isolate':
      case 'split':
      case 'ring':
      case 'flapping':
      case 'slow':
      case 'lossy':
      case 'drop':
      case 'clients':
        return this.disturb(kind, nodes, dice, durationMs);
      default:
        return assertNever(kind);
    }
  }

  /** Kills the nodes, does something to their disks while they are down, and starts them again. */
  private async spoil(
    kind: keyof typeof spoilers,
    nodes: readonly string[],
    dice: Prng,
    wait: () => Promise<void>,
  ): Promise<string | undefined> {
    const words: string[] = [];
    if (kind === 'torn-tail') {
      // So that there is something that was written and not synced.
      await this.each(nodes, (node) => holdSyncs(node, true));
      await pause(dice.integer(heldMs[0], heldMs[1]), this.stopping.signal);
    }
    await this.each(nodes, (node, control) => control.kill(node.id));
    await this.each(nodes, (node) => holdSyncs(node, false));
    await this.each(nodes, (node) => {
      const done = spoilers[kind](node, dice);
      if (done === undefined) return;
      if (faultKinds[kind].damages) this.damaged.set(node.id, this.options.clock.nowNs());
      words.push(`${node.id} ${done}`);
    });
    await wait();
    await this.each(nodes, (node, control) => control.start(node.id));
    return words.length === 0 ? undefined : words.join('; ');
  }

  private async disturb(
    kind: NetworkFault,
    victims: readonly string[],
    dice: Prng,
    durationMs: number,
  ): Promise<string> {
    const { nodeIds: nodes, clientIds: clients, links, clock } = this.options;
    const { rule, words } = networkFault(kind, { nodes, clients, victims, dice });
    const { signal } = this.stopping;
    if (kind !== 'flapping') {
      await this.whileRule(rule, durationMs);
      return words;
    }
    const endNs = clock.nowNs() + durationMs * 1e6;
    while (clock.nowNs() < endNs && !signal.aborted) {
      await this.whileRule(rule, dice.integer(flapMs[0], flapMs[1]));
      await pause(dice.integer(flapMs[0], flapMs[1]), signal);
    }
    links.remove(rule);
    return words;
  }

  private async whileRule(rule: LinkRule, durationMs: number): Promise<void> {
    this.options.links.add(rule);
    await pause(durationMs, this.stopping.signal);
    this.options.links.remove(rule);
  }

  /** Does something to nodes whose processes are ours, at once. */
  private async each(
    ids: readonly string[],
    run: (node: ChaosNode, control: NodeControl) => unknown,
  ): Promise<void> {
    const { control } = this.options;
    if (control === undefined) return;
    const nodes = control.nodes.filter(({ id }) => ids.includes(id));
    await Promise.all(nodes.map((node) => run(node, control)));
  }

  // ---- who is hit

  private chooseNodes(kind: FaultName, scope: Scope, dice: Prng): string[] {
    const { nodeIds } = this.options;
    const minority = Math.floor((nodeIds.length - 1) / 2);
    for (const [node, atNs] of [...this.damaged]) {
      if (this.options.isWhole(node, atNs)) this.damaged.delete(node);
    }
    const { damages, victims } = faultKinds[kind];
    if (damages) {
      const isWhole = (node: string): boolean => this.options.isWhole(node, 0);
      const free = this.free(kind).filter((node) => isWhole(node) && !this.damaged.has(node));
      return this.damaged.size < minority ? this.one(scope, free, dice) : [];
    }
    if (victims === 'all') return [...nodeIds];
    const free = this.free(kind);
    if (scope !== 'all' && scope !== 'majority') return this.one(scope, free, dice);
    const count = scope === 'all' ? nodeIds.length : nodeIds.length - minority;
    const chosen: string[] = [];
    while (chosen.length < count && free.length > 0) {
      chosen.push(...free.splice(dice.integer(0, free.length - 1), 1));
    }
    return chosen;
  }

  private free(kind: FaultName): string[] {
    const { nodeIds } = this.options;
    const isFree = (node: string): boolean => faultKinds[kind].holds === 'nothing' || !this.held.has(node);
    return nodeIds.filter(isFree);
  }

  /** The one of that role if it is free, otherwise anyone who is. */
  private one(scope: Scope, free: readonly string[], dice: Prng): string[] {
    if (free.length === 0) return [];
    const leader = this.options.leader();
    if (scope === 'leader' && leader !== undefined && free.includes(leader)) return [leader];
    const others = free.filter((node) => node !== leader);
    return [dice.pick(scope === 'follower' && others.length > 0 ? others : free)];
  }
}

const spoilers = { 'torn-tail': tearTail, damage: damageLog, rot: rotStore } as const;
