// Plans as files: what was written is read back unchanged, and whatever is wrong is refused with its place.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultKinds } from '../../src/sim/plan/fault-rules.js';
import { readPlan, writePlan } from '../../src/sim/plan/file.js';
import { planOf } from '../../src/sim/plan/draw.js';
import { regressions } from './regressions.js';

/** A drawn plan as plain data, to be spoiled. */
function planData(): Record<string, unknown> {
  const options = { safetyMs: 20_000, nodes: 5, families: ['kill', 'partition', 'storm', 'clientPause'] };
  return JSON.parse(writePlan(planOf(1, options))) as Record<string, unknown>;
}

/** Sets what is at a path such as `faults[3].untilMs`; `undefined` removes it. */
function set(data: unknown, path: string, value: unknown): void {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== '');
  const last = steps.pop() ?? '';
  let target = data as Record<string, unknown>;
  for (const step of steps) target = target[step] as Record<string, unknown>;
  if (value === undefined) Reflect.deleteProperty(target, last);
  else target[last] = value;
}

function refusalOf(path: string, value: unknown): string {
  const data = planData();
  set(data, path, value);
  return refusalOfText(JSON.stringify(data));
}

function refusalOfText(text: string): string {
  try {
    readPlan(text);
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}

describe('a plan that is written and read', () => {
  it('is the same plan, for every drawn one', () => {
    for (let seed = 1; seed <= 500; seed++) {
      const plan = planOf(seed);
      expect(readPlan(writePlan(plan))).toEqual(plan);
    }
  });

  it('is the same plan, for every regression', () => {
    for (const { plan } of regressions) expect(readPlan(writePlan(plan))).toEqual(plan);
  });

  it('has one fault and one operation per line', () => {
    const plan = planOf(3);
    const lines = writePlan(plan).split('\n');
    const { faults, operations, machines, clients } = plan;
    expect(lines.length).toBeGreaterThan(
      faults.length + operations.length + machines.length + clients.length,
    );
    for (const line of lines) expect(line.length).toBeLessThan(4_000);
  });

  it('knows every fault that there is', () => {
    const unknown = { ...planOf(3), faults: [{ kind: 'flood', atMs: 0 }] };
    expect(() => readPlan(JSON.stringify(unknown))).toThrow(`the known faults are ${faultKinds.join(', ')}`);
  });
});

describe('a plan is accepted', () => {
  it.each([
    ['machines[1].clockRate', 0.99],
    ['machines[1].clockRate', 1.01],
    ['operations[4].valueBytes', 1_048_576],
    ['operations[4].key', 'k'.repeat(4_096)],
    ['healMs', 1],
  ])('when %s is %j', (path, value) => {
    expect(refusalOf(path, value)).toBe('none');
  });
});

describe('a plan is refused', () => {
  it('when it is no JSON, no object, or too long', () => {
    expect(refusalOfText('{"seed": 1,')).toMatch(/not a plan: it is not JSON/);
    expect(refusalOfText('[]')).toMatch(/not an object/);
    expect(refusalOfText('null')).toMatch(/not an object/);
    expect(refusalOfText(' '.repeat(70_000_000))).toMatch(/70000000 characters, the limit is/);
  });

  it('when it is of another version, naming both', () => {
    expect(refusalOf('formatVersion', 7)).toMatch(/formatVersion is 7, this kvorum knows 1/);
    expect(refusalOf('formatVersion', undefined)).toMatch(/no formatVersion/);
  });

  it.each([
    ['seed', undefined, 'seed is missing'],
    ['seed', 'one', 'seed is "one", not a whole number'],
    ['safetyMs', -1, 'safetyMs is -1, it must be from 0'],
    ['peerMode', 'udp', 'peerMode is "udp", not one of tcp, datagram'],
    ['conditions.loss', 2, 'conditions.loss is 2, it must be from 0 to 1'],
    ['knobs.segmentBytes', null, 'knobs.segmentBytes is null, not a number'],
    ['knobs.segmentByte', 1, 'knobs.segmentByte is not known'],
    ['machines', [], 'machines is empty'],
    ['machines', {}, 'machines is {}, not a list'],
    ['machines[1].name', 'n1', 'machines[1].name is "n1" for the second time'],
    ['clients[0].name', 'n2', 'clients[0].name is "n2" for the second time'],
    ['operations[4].kind', 'watch', 'operations[4].kind is "watch", not one of'],
    ['operations[4].client', 99, 'operations[4].client is 99, the positions are 0 to'],
    ['operations[4].atMs', 0, 'operations[4].atMs is 0, before the'],
    ['faults[0].kind', 'meteor', 'faults[0].kind is "meteor"; the known faults are cut, flap'],
    ['faults[0].kind', undefined, 'faults[0].kind is missing'],
    ['faults[0]', 'crash', 'faults[0].kind is missing'],
    ['faults[0].atMs', 19_999, 'before the 19999 above it'],
    ['core', { nodes: [0, 1], others: [] }, 'core must name each of the positions 0 to 4 once'],
    ['core', { nodes: [0], others: [1, 2, 3, 4].map((node) => ({ node, state: 'dead' })) }, 'a majority'],
    ['machines[1].clockRate', 1e9, 'machines[1].clockRate is 1000000000, it must be from 0.99 to 1.01'],
    ['machines[1].name', 'n'.repeat(65), 'machines[1].name has 65 bytes, the limit is 64'],
    [
      'machines[0].snapshotLogEntriesMax',
      0.5,
      'machines[0].snapshotLogEntriesMax is 0.5, not a whole number',
    ],
    ['machines', Array(50).fill({}), 'machines has 50 items, the limit is 7'],
    ['clients', Array(101).fill({}), 'clients has 101 items, the limit is 100'],
    ['operations', Array(100_001).fill({}), 'operations has 100001 items, the limit is 100000'],
    ['faults', Array(20_001).fill({}), 'faults has 20001 items, the limit is 20000'],
    ['clients[0].concurrency', 1e6, 'clients[0].concurrency is 1000000, it must be from 1 to 1000'],
    ['clients[0].timeoutMs', 1e15, 'clients[0].timeoutMs is 1000000000000000, it must be from 1 to'],
    ['operations[4].valueBytes', 1e9, 'operations[4].valueBytes is 1000000000, it must be from 0 to 1048576'],
    ['operations[4].key', 'k'.repeat(5_000), 'operations[4].key has 5000 bytes, the limit is 4096'],
    ['operations[4].key', 'é'.repeat(2_049), 'operations[4].key has 4098 bytes, the limit is 4096'],
    ['safetyMs', 1e12, 'safetyMs is 1000000000000, it must be from 0 to 86400000'],
    [
      'knobs.segmentBytes',
      1,
      'knobs.segmentBytes must be a whole number from 65,536 to 1,073,741,824, not 1',
    ],
    ['knobs.quotaBytes', 262_144, 'knobs.quotaBytes must be at least four segments'],
    ['knobs.sliceMs', 1e9, 'knobs.sliceMs must be a whole number from 1 to 60,000'],
    ['knobs.snapshotChunkBytes', 1, 'knobs.snapshotChunkBytes must be a whole number from 4,096'],
    ['knobs.heartbeatIntervalMs', 250, 'knobs.heartbeatIntervalMs must be at most a third of knobs.election'],
  ])('when %s is %j', (path, value, words) => {
    expect(refusalOf(path, value)).toContain(words);
  });

  it('when a field of any fault is missing or of another type', () => {
    const data = planData();
    const faults = data['faults'] as Record<string, unknown>[];
    const fields = faults.flatMap((fault, i) => Object.keys(fault).map((field) => ({ i, field })));
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.constantFrom(undefined, null, {}), ({ i, field }, value) => {
        fc.pre(
          !(value === undefined && ['ways', 'refuses', 'during', 'nextStarts', 'thenPower'].includes(field)),
        );
        expect(refusalOf(`faults[${i}].${field}`, value)).toContain(`faults[${i}]`);
      }),
    );
  });

  it('when a fault ends before it begins, hits nobody, or cuts an unknown host', () => {
    const { faults: drawn, ...plan } = planOf(1, { safetyMs: 5_000, nodes: 3, families: [] });
    const refusal = (fault: object): string =>
      refusalOfText(JSON.stringify({ ...plan, faults: [...drawn, fault] }));
    const cut = { kind: 'cut', atMs: 500, untilMs: 900, ways: [['n1', 'n2']] };
    expect(refusal(cut)).toBe('none');
    expect(refusal({ ...cut, untilMs: 100 })).toContain('faults[0].untilMs is 100, before its atMs 500');
    expect(refusal({ ...cut, ways: [['n1', 'n9']] })).toContain('faults[0].ways[0] names "n9"');
    expect(refusal({ ...cut, ways: [['n1']] })).toContain('faults[0].ways[0] is ["n1"], not [from, to]');
    expect(refusal({ ...cut, until: 3 })).toContain('faults[0].until is not known; the fields are kind');
    const restart = { kind: 'restart', atMs: 500, node: 3, downMs: 10 };
    expect(refusal(restart)).toContain('faults[0].node is 3, the positions are -1 to 2');
    const wipe = (node: number): object => {
      return { kind: 'damage', atMs: 500, node, downMs: 10, damage: 'wipe', position: 0 };
    };
    const text = JSON.stringify({ ...plan, faults: [wipe(0), wipe(1)] });
    expect(refusalOfText(text)).toMatch(/damages 2 of 3 machines, at most 1/);
  });
});
