// How a node divides the descriptors of its process, at every limit.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planDescriptors, type DescriptorPlan } from '../../src/server/space/descriptor-plan.js';
import { openFilesOfProcess, softLimitIn } from '../../src/server/space/open-files.js';

const plan = (limit: number, openNow = 20, otherMembers = 2, clientsMax = 10_000) =>
  planDescriptors({ openFiles: { limit, source: 'the system', openNow }, otherMembers, clientsMax });

describe('descriptors', () => {
  it('are never promised twice, and go to the node itself first', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 10, max: 60 }),
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 1, max: 20_000 }),
        (limit, openNow, otherMembers, clientsMax) => {
          let made: DescriptorPlan;
          try {
            made = plan(limit, openNow, otherMembers, clientsMax);
          } catch (error) {
            const least = Number(/ulimit -n (\d+)/.exec((error as Error).message)?.[1]);
            expect(least).toBeGreaterThan(limit);
            expect(plan(least, openNow, otherMembers, clientsMax).clientsMax).toBeGreaterThan(0);
            return;
          }
          expect(made.reserved + made.strangersMax + made.clientsMax).toBeLessThanOrEqual(limit);
          expect(made.clientsMax).toBeLessThanOrEqual(clientsMax);
          expect(made.reserved).toBeGreaterThan(openNow + 2 * otherMembers);
          expect(made.membersMax).toBeGreaterThanOrEqual(2 * otherMembers);
        },
      ),
    );
  });

  it('that are few leave few clients, and that are many as many as the settings say', () => {
    expect(plan(20_000).clientsMax).toBe(10_000);
    expect(plan(1_024).clientsMax).toBeGreaterThan(600);
    expect(plan(1_024).clientsMax).toBeLessThan(1_000);
    expect(plan(100).clientsMax).toBeLessThan(30);
  });

  it('that are too few are a CONFIG error with the least that is needed', () => {
    expect(() => plan(60)).toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: expect.stringMatching(/60 files and sockets.*at least \d+.*ulimit -n \d+/) as string,
      }),
    );
  });

  it('are counted with care where nobody counts them', () => {
    const openFiles = { limit: 1_024, source: 'the system', openNow: undefined } as const;
    const uncounted = planDescriptors({ openFiles, otherMembers: 2, clientsMax: 10_000 });
    expect(uncounted.clientsMax).toBeLessThan(plan(1_024).clientsMax);
  });
});

describe('the limit of open files', () => {
  it('is read as the system writes it', () => {
    const line = (soft: string): string =>
      `Limit                     Soft Limit           Hard Limit           Units\n` +
      `Max open files            ${soft.padEnd(21)}524288               files\n`;
    expect(softLimitIn(line('1024'))).toBe(1_024);
    expect(softLimitIn(line('unlimited'))).toBe(1_048_576);
    expect(softLimitIn('nothing of that')).toBeUndefined();
  });

  it('is known of this process', () => {
    const { limit, openNow } = openFilesOfProcess();
    expect(limit).toBeGreaterThan(openNow ?? 0);
  });
});
