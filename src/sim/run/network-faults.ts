// What a plan does to the ways between hosts, begun and ended. Faults of one kind may overlap: a way is cut
// while any cut of it is on, and what befalls messages is the worst of what is on there. When the world heals
// all of it ends at once, half-open links by breaking.

import { assertNever } from '../../base/assert.js';
import { theFollowers, theLeader, type NetworkFault, type Way } from '../plan/faults.js';
import type { Machine } from '../world/machine/machine.js';
import type { Scheduler } from '../world/scheduler.js';
import type { Connection } from '../world/network/connection.js';
import type { VirtualNetwork } from '../world/network/network.js';
import type { Conditions } from '../world/network/ways.js';

type ConditionsFault = Extract<NetworkFault, { readonly kind: 'conditions' }>;

export interface NetworkFaultsOptions {
  readonly scheduler: Scheduler;
  readonly network: VirtualNetwork;
  readonly machines: readonly Machine[];
  /** What befalls messages when nothing is wrong. */
  readonly ordinary: Readonly<Conditions>;
  readonly log: (what: string) => void;
  /** Whoever leads. */
  readonly leader: () => Machine | undefined;
}

export class NetworkFaults {
  private readonly options: NetworkFaultsOptions;
  private readonly conditions = new Set<ConditionsFault>();
  /** How to end each fault that is on. */
  private readonly endings = new Set<() => void>();
  private healed = false;

  constructor(options: NetworkFaultsOptions) {
    this.options = options;
  }

  begin(fault: NetworkFault): void {
    if (fault.kind === 'conditions') {
      this.beginConditions(fault);
      return;
    }
    const { network, log } = this.options;
    const ways = this.resolve(fault.ways);
    log(`${fault.kind}: ${textOf(ways)}`);
    switch (fault.kind) {
      case 'cut':
        network.block(ways, fault.refuses ?? false);
        this.endAt(fault.untilMs, `mended: ${textOf(ways)}`, () => network.unblock(ways));
        return;
      case 'flap':
        this.flap(ways, fault.periodMs, fault.shutMs, fault.untilMs);
        return;
      case 'clog':
        network.clog(ways);
        this.endAt(fault.untilMs, `flows again: ${textOf(ways)}`, () => network.unclog(ways));
        return;
      case 'halfOpen': {
        const silenced: Connection[] = network.silence(ways);
        this.endAt(fault.untilMs, `half-open links break: ${textOf(ways)}`, () => {
          for (const connection of silenced) connection.reset();
        });
        return;
      }
      case 'reset':
        network.reset(ways);
        return;
      case 'throttle':
        network.narrow(ways, fault);
        this.endAt(fault.untilMs, `wide again: ${textOf(ways)}`, () => network.narrow(ways, undefined));
        return;
      default:
        assertNever(fault);
    }
  }

  /** Opens and shuts ways in turn, shut first, until `untilMs`; `Infinity`: for ever. */
  flap(ways: readonly Way[], periodMs: number, shutMs: number, untilMs: number): void {
    const { network, scheduler } = this.options;
    let isShut = false;
    let isOver = false;
    const turn = (): void => {
      if (isOver) return;
      isShut = !isShut;
      if (isShut) network.block(ways);
      else network.unblock(ways);
      const forMs = isShut ? shutMs : periodMs - shutMs;
      scheduler.schedule(Math.max(1, forMs) * 1000, 'fault', undefined, turn);
    };
    turn();
    if (untilMs === Infinity) return;
    this.endAt(untilMs, `no longer flaps: ${textOf(ways)}`, () => {
      isOver = true;
      if (isShut) network.unblock(ways);
    });
  }

  /** Everything ends: no message is lost any more, whatever the plan began with. */
  heal(): void {
    this.healed = true;
    for (const end of [...this.endings]) end();
    this.conditions.clear();
    this.applyConditions();
  }

  private endAt(untilMs: number, words: string, action: () => void): void {
    const { scheduler, log } = this.options;
    const end = (): void => {
      if (!this.endings.delete(end)) return;
      log(words);
      action();
    };
    this.endings.add(end);
    scheduler.scheduleAt(Math.max(untilMs * 1000, scheduler.nowUs), 'fault', undefined, end);
  }

  private beginConditions(planned: ConditionsFault): void {
    const ways = planned.ways === undefined ? {} : { ways: this.resolve(planned.ways) };
    const fault: ConditionsFault = { ...planned, ...ways };
    this.options.log(`messages: ${JSON.stringify(fault)}`);
    this.conditions.add(fault);
    this.applyConditions();
    this.endAt(fault.untilMs, 'messages as before', () => {
      this.conditions.delete(fault);
      this.applyConditions();
    });
  }

  private applyConditions(): void {
    const { network } = this.options;
    const everywhere = [...this.conditions].filter(({ ways }) => ways === undefined);
    Object.assign(network.conditions, this.worstOf(everywhere));
    // Ways of their own; those that were and are no longer follow the rest again.
    network.forgetOwnConditions();
    const own = new Map<string, ConditionsFault[]>();
    for (const fault of this.conditions) {
      for (const [from, to] of fault.ways ?? []) {
        const name = `${from}>${to}`;
        const faults = own.get(name) ?? [...everywhere];
        faults.push(fault);
        own.set(name, faults);
        network.wayOf(from, to).conditions = this.worstOf(faults);
      }
    }
  }

  private worstOf(faults: readonly ConditionsFault[]): Conditions {
    const { ordinary } = this.options;
    const { latencyUsMin, latencyUsMean } = ordinary;
    const calm = { loss: 0, duplication: 0, reordering: 0, latencyFactor: 1 };
    const all = [this.healed ? calm : { ...ordinary, latencyFactor: 1 }, ...faults];
    const worst = (field: keyof typeof calm): number => Math.max(...all.map((fault) => fault[field]));
    return {
      loss: worst('loss'),
      duplication: worst('duplication'),
      reordering: worst('reordering'),
      latencyUsMin: latencyUsMin * worst('latencyFactor'),
      latencyUsMean: latencyUsMean * worst('latencyFactor'),
    };
  }

  private resolve(ways: readonly Way[]): Way[] {
    const leader = this.options.leader()?.name ?? '';
    const namesOf = (host: string): string[] => {
      if (host === theLeader.name) return [leader];
      if (host !== theFollowers) return [host];
      return this.options.machines.map(({ name }) => name).filter((name) => name !== leader);
    };
    return ways
      .flatMap(([from, to]) => namesOf(from).flatMap((a) => namesOf(to).map((b): Way => [a, b])))
      .filter(([from, to]) => from !== to);
  }
}

function textOf(ways: readonly Way[]): string {
  return ways.map(([from, to]) => `${from}>${to}`).join(' ');
}
