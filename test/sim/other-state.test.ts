// A member whose state is another one than that of the others, by damage that no check of a record sees: the
// production nodes in the virtual world notice it, the one that is wrong stops, and is supplied anew.

import { describe, expect, it } from 'vitest';
import type { NodeEvent } from '../../src/server/events.js';
import type { LoopInput } from '../../src/server/replica/loop.js';
import { World } from '../../src/sim/run/world.js';
import type { Machine } from '../../src/sim/world/machine/machine.js';
import { planWith } from './regressions.js';

class Stage {
  readonly world = new World(planWith(5, []), 'words');
  private readonly seen: { readonly who: string; readonly event: NodeEvent }[] = [];

  constructor() {
    // One for all machines.
    const context = this.world.machines[0]?.['context'] as { event(from: Machine, event: NodeEvent): void };
    const { event } = context;
    context.event = (from, told) => {
      this.seen.push({ who: from.name, event: told });
      event(from, told);
    };
  }

  get leader(): Machine | undefined {
    return this.world.machines.find(({ node }) => node?.raft?.role === 'leader');
  }

  /** All machines have this figure, and the same. */
  isSame(figureOf: (machine: Machine) => unknown): boolean {
    const figures = new Set(this.world.machines.map(figureOf));
    return figures.size === 1 && !figures.has(undefined);
  }

  /** Events happen until `what` holds; false when it does not within `forMs`. */
  until(what: () => boolean, forMs = 20_000): boolean {
    const { scheduler } = this.world;
    const untilUs = scheduler.nowUs + forMs * 1_000;
    while (!what()) if (this.world.step(untilUs) === undefined) return false;
    return true;
  }

  told(kind: NodeEvent['kind']): { readonly who: string; readonly event: NodeEvent }[] {
    return this.seen.filter(({ event }) => event.kind === kind);
  }

  /** Its state is not what its entries make of it, which shows in each entry from here on. */
  spoil({ node }: Machine): void {
    const stateMachine = node?.stateMachine as unknown as { stateLow: number };
    stateMachine.stateLow ^= 1;
    const proposals = [{ kind: 'noop' as const, payload: new Uint8Array() }];
    const leader = this.leader?.node as unknown as { replica: { loop: { step(input: LoopInput): void } } };
    leader.replica.loop.step({ kind: 'propose', proposals });
  }
}

describe('a member with another state', () => {
  it.each([
    ['a follower', false],
    ['the leader', true],
  ])('%s stops, is supplied anew, and all agree again', (_, isLeader) => {
    const stage = new Stage();
    const { machines } = stage.world;
    const atRest = (): boolean =>
      stage.leader !== undefined && stage.isSame(({ node }) => node?.stateMachine?.stateHash);
    expect(stage.until(atRest)).toBe(true);
    stage.until(() => false, 3_000);
    expect(stage.told('stateHashesDiffer')).toEqual([]);
    const wrong = machines.find((machine) => (machine === stage.leader) === isLeader);
    if (wrong === undefined) throw new Error('there is nobody to spoil');
    stage.spoil(wrong);
    expect(stage.until(() => stage.told('damageNoted').length > 0)).toBe(true);
    expect(stage.told('nodeFailed')).toMatchObject([{ who: wrong.name, event: { code: 'DIVERGED' } }]);
    const alarmed = (): number => new Set(stage.told('stateHashesDiffer').map(({ who }) => who)).size;
    expect(stage.until(() => alarmed() === 3)).toBe(true);
    if (isLeader) expect(stage.leader, 'it has handed over').not.toBe(wrong);
    expect(stage.until(() => stage.told('votesAgain').length > 0)).toBe(true);
    expect(stage.told('votesAgain')).toMatchObject([{ who: wrong.name }]);
    const isOver = (): boolean => machines.every(({ node }) => node?.status().difference === undefined);
    expect(stage.until(() => atRest() && isOver())).toBe(true);
    expect(stage.told('nodeFailed')).toHaveLength(1);
  });
});
