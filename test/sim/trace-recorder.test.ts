// The trace as data: complete, in order, one flat record per thing, and without influence on the run.

import { describe, expect, it } from 'vitest';
import { planOf } from '../../src/sim/plan/draw.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { TraceRecorder, type TraceEvent } from '../../src/sim/run/trace-recorder.js';

/** What goes wrong is written down here: which families draw what must not matter. */
const plan: Plan = {
  ...planOf(5, { safetyMs: 6_000, healMs: 20_000, nodes: 3, families: [] }),
  faults: [
    { kind: 'cut', atMs: 2_500, untilMs: 3_500, ways: [['n1', 'n2']] },
    {
      kind: 'crash',
      atMs: 4_000,
      node: 1,
      downMs: 300,
      machine: 'kill',
      unsynced: 'none',
      entries: 'none',
      afterEffects: 0,
    },
  ],
};

function recorded(): { events: TraceEvent[]; hash: string; coverage: Readonly<Record<string, number>> } {
  const events: TraceEvent[] = [];
  const observer = new TraceRecorder((event) => events.push(event));
  const { hash, coverage } = runSimulation(plan, { observer });
  return { events, hash, coverage };
}

describe('the trace of a run', () => {
  const { events, hash, coverage } = recorded();
  const ofKind = (kind: string): TraceEvent[] => events.filter((event) => event.kind === kind);

  it('does not change the run', () => {
    expect(hash).toBe(runSimulation(plan).hash);
  });

  it('is in order of time, one flat line of JSON each', () => {
    let lastUs = 0;
    for (const event of events) {
      expect(event.timeUs).toBeGreaterThanOrEqual(lastUs);
      lastUs = event.timeUs;
      expect(JSON.parse(JSON.stringify(event))).toEqual(event);
      expect(typeof event.node).toBe('string');
    }
  });

  it('has every election, and every call with its one answer', () => {
    const leaders = ofKind('role').filter(({ role }) => role === 'leader');
    expect(new Set(leaders.map(({ term }) => term)).size).toBe(coverage['elections']);
    const calls = ofKind('call').map(({ call }) => call);
    expect(calls.length).toBe(coverage['operations']);
    expect(new Set(calls).size).toBe(calls.length);
    expect(
      ofKind('answer')
        .map(({ call }) => call)
        .sort((a, b) => Number(a) - Number(b)),
    ).toEqual(calls);
  });

  it('has messages, commits and faults with their details', () => {
    const append = ofKind('message').find(
      ({ message, entries }) => message === 'appendEntries' && (entries as unknown[]).length > 0,
    );
    expect(append).toMatchObject({ to: expect.any(String), term: expect.any(Number) });
    expect(ofKind('commit').at(-1)).toMatchObject({ commitIndex: coverage['committed'] });
    const faults = ofKind('fault').map(({ what }) => String(what));
    expect(faults.some((what) => what.startsWith('cut: '))).toBe(true);
    expect(faults).toContain('is killed');
  });
});
