// The switchboard stays in step with the sources: every mutant finds its passage, compiles to JavaScript that
// differs, and has an id of its own. One mutant is really hunted, so that the machinery is known to work.

import { afterAll, describe, expect, test } from 'vitest';
import { hunt } from './hunt.js';
import { laterMutants, mutants } from './list.js';
import { applyMutant, StaleMutantError, type Mutant } from './mutant.js';
import { readSource, Workshop } from './workshop.js';

describe('mutants', () => {
  test.each(mutants.map((mutant) => [mutant.id, mutant] as const))('%s applies', (_id, mutant) => {
    const texts = applyMutant(mutant, readSource);
    expect(texts.size).toBeGreaterThan(0);
    for (const [file, text] of texts) expect(text).not.toBe(readSource(file));
  });

  test('have ids of their own', () => {
    const ids = [...mutants, ...laterMutants].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('that do not fit the source, or fit it twice, are stale', () => {
    const mutant = (find: string): Mutant => ({
      id: 'X',
      name: 'x',
      edits: [{ file: 'a.ts', find, replace: '' }],
    });
    expect(() => applyMutant(mutant('nowhere'), () => 'some text')).toThrow(StaleMutantError);
    expect(() => applyMutant(mutant('e'), () => 'some text')).toThrow(/is in src\/a\.ts 2 times/);
  });
});

// Builds a copy of the product and runs seeds in processes of their own.
describe('the hunt', () => {
  const workshop = new Workshop();
  afterAll(() => workshop.remove());
  const options = { workshop, firstSeed: 1, seedsMax: 100, onProgress: () => undefined };
  const mutantOf = (id: string): Mutant => mutants.find((mutant) => mutant.id === id) as Mutant;

  test('kills a leader that counts itself before its disk has the entry', async () => {
    const { verdict, violation } = await hunt(mutantOf('M3'), options);
    expect(verdict).toBe('killed');
    expect(violation).toBeDefined();
  });

  test('does not kill a change that means nothing', async () => {
    const edits = [{ file: 'raft/quorum.ts', find: 'let granted = 0;', replace: 'let granted = 0 + 0;' }];
    const { verdict, seeds } = await hunt({ id: 'X', name: 'nothing', edits }, { ...options, seedsMax: 1 });
    expect({ verdict, seeds }).toEqual({ verdict: 'survived', seeds: 1 });
  });

  test('says which mutant is stale', async () => {
    const edits = [{ file: 'raft/quorum.ts', find: 'not there', replace: '' }];
    const { verdict, words } = await hunt({ id: 'X', name: 'nothing', edits }, options);
    expect(verdict).toBe('stale');
    expect(words).toContain('raft/quorum.ts');
  });
});
