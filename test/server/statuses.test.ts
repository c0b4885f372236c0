// The status of a node: made once for all who ask in a turn, and asked for by one caller only so often.

import { describe, expect, test } from 'vitest';
import { Statuses } from '../../src/server/front/statuses.js';
import type { NodeStatus } from '../../src/wire/clients/status.js';
import { FakeCaller } from './clients-world.js';

function world() {
  let made = 0;
  let woken = 0;
  const statuses = new Statuses({
    status: () => ({ pid: ++made }) as NodeStatus,
    wake: () => woken++,
  });
  return { statuses, made: () => made, woken: () => woken };
}

const kinds = ({ answers }: FakeCaller): string[] => answers.map(({ kind }) => kind);

describe('the status', () => {
  test('is made once for all who ask in a turn', () => {
    const { statuses, made } = world();
    const callers = Array.from({ length: 10 }, () => new FakeCaller());
    callers.forEach((caller, id) => statuses.ask(caller, id));
    expect(made()).toBe(0);
    statuses.flush();
    expect(made()).toBe(1);
    callers.forEach((caller, requestId) =>
      expect(caller.answers).toEqual([{ kind: 'status', requestId, status: { pid: 1 } }]),
    );
  });

  test('asked for in bulk is refused beyond a few, with the limit, and again when they are answered', () => {
    const { statuses, made } = world();
    const [greedy, modest] = [new FakeCaller(), new FakeCaller()];
    for (let id = 0; id < 24_000; id++) statuses.ask(greedy, id);
    statuses.ask(modest, 1);
    expect(greedy.answers.length).toBe(24_000 - 16);
    expect(greedy.answers[0]).toMatchObject({ kind: 'error', requestId: 16, code: 'OVERLOADED' });
    expect(greedy.answers[0]?.kind === 'error' && greedy.answers[0].message).toMatch(/^16 requests .* wait/);
    statuses.flush();
    expect(made()).toBe(1);
    expect(kinds(greedy).filter((kind) => kind === 'status').length).toBe(16);
    expect(kinds(modest)).toEqual(['status']);
    statuses.ask(greedy, 30_000);
    statuses.flush();
    expect(greedy.answers.at(-1)).toMatchObject({ kind: 'status', requestId: 30_000 });
  });

  test('is answered to a bounded number in a turn, and to the others in the next', () => {
    const { statuses, made, woken } = world();
    const callers = Array.from({ length: 50 }, () => new FakeCaller());
    callers.forEach((caller) => statuses.ask(caller, 1));
    statuses.flush();
    expect(callers.filter(({ answers }) => answers.length > 0).length).toBe(32);
    expect(woken()).toBe(2);
    statuses.flush();
    expect(callers.every(({ answers }) => answers.length === 1)).toBe(true);
    expect(made()).toBe(2);
  });

  test('is not made for callers that are gone', () => {
    const { statuses, made } = world();
    const gone = new FakeCaller();
    statuses.ask(gone, 1);
    gone.isGone = true;
    statuses.flush();
    expect(made()).toBe(0);
  });
});
