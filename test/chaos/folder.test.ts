// The output folder of a chaos run: what is in it, and what becomes of the verdict when the disk is full.

import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { exitCodeFor } from '../../src/cli/chaos/chaos.js';
import { ChaosFolder } from '../../src/cli/chaos/folder.js';
import { exitCodes } from '../../src/cli/terminal/exit-codes.js';
import { judge } from '../../src/chaos/verdict.js';
import { until } from '../waiting.js';
import { evidence, operation, soundOperations, staleOperations } from './evidence.js';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvorum-chaos-'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const { plan } = evidence();

describe('the folder of a run', () => {
  test('holds the evidence and the verdict', async () => {
    const onIncomplete = vi.fn();
    const folder = new ChaosFolder(join(root, 'out'), plan, onIncomplete);
    folder.addOperations(soundOperations());
    const verdict = judge(evidence());
    const file = await folder.finish(evidence(), verdict);
    expect(JSON.parse(readFileSync(join(root, 'out', 'verdict.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(file)),
    );
    expect(file.incomplete).toBeUndefined();
    expect(onIncomplete).not.toHaveBeenCalled();
    const lines = readFileSync(join(root, 'out', 'history.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(soundOperations().length);
    expect(exitCodeFor(verdict, true)).toBe(exitCodes.ok);
  });

  test('is refused where a file stands', () => {
    writeFileSync(join(root, 'file'), '');
    expect(() => new ChaosFolder(join(root, 'file'), plan, () => undefined)).toThrow(/is a file; give a new/);
    expect(() => new ChaosFolder(join(root, 'file', 'x'), plan, () => undefined)).toThrow(/which is a file/);
    expect(() => new ChaosFolder(root, plan, () => undefined)).toThrow(/is not empty/);
  });

  test('counts in one way', () => {
    const many = Array.from({ length: 3_282 }, (_, i) =>
      operation('c1', { op: 'get', k: 'k' }, i, 1, { st: 'ok', v: null, ver: 0 }),
    );
    const seen = evidence({ operations: many });
    const folder = new ChaosFolder(join(root, 'out'), plan, () => undefined);
    const lines = folder.summary(seen, judge(seen)).join('\n');
    expect(lines).toContain('3,282 operations through');
    expect(lines).toContain('3,282 operations acknowledged, 0 refused, 0 unknown');
  });
});

describe.runIf(existsSync('/dev/full'))('on a full disk', () => {
  test('the run is told once, and still gets its verdict', async () => {
    const path = join(root, 'out');
    const onIncomplete = vi.fn();
    const folder = new ChaosFolder(path, plan, onIncomplete);
    // Before the streams have opened their files, which they do later.
    for (const name of ['history.jsonl', 'faults.jsonl', 'report.html', 'verdict.json'])
      symlinkSync('/dev/full', join(path, name));
    folder.addOperations(soundOperations());
    await until(() => onIncomplete.mock.calls.length > 0, 'the first word about it');
    expect(folder.incomplete).toMatch(/^ENOSPC/);
    folder.addOperations(soundOperations());
    const cutShort = evidence({ interrupted: true });
    const verdict = judge(cutShort);
    const file = await folder.finish(cutShort, verdict);
    expect(file).toMatchObject({ verdict: 'interrupted', incomplete: folder.incomplete });
    expect(folder.summary(cutShort, verdict).join('\n')).toMatch(/the files in .* are not complete: ENOSPC/);
    expect(onIncomplete).toHaveBeenCalledTimes(1);
    expect(exitCodeFor(verdict, false)).toBe(exitCodes.failure);
    const violated = judge(evidence({ operations: staleOperations() }));
    expect(exitCodeFor(violated, false)).toBe(exitCodes.safety);
  });
});
