// What needs a file descriptor when there is none waits and goes on, and no disk is taken for broken.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { Descriptors, isOutOfDescriptors, type DescriptorCalls } from '../../src/storage/disk/descriptors.js';
import type { StorageEvent } from '../../src/storage/events.js';

const missing = (code: string): Error => Object.assign(new Error(`${code}: open`), { code });

/** A system with so many descriptors. */
class System implements DescriptorCalls {
  free: number;
  pauses = 0;
  shed = 0;
  readonly events: StorageEvent[] = [];
  onPause = (): void => undefined;

  constructor(free: number) {
    this.free = free;
  }

  open(): number {
    if (this.free === 0) throw missing('EMFILE');
    return this.free--;
  }
  close(): void {
    this.free++;
  }
  pause(): void {
    this.pauses++;
    this.onPause();
  }

  descriptors(spares = 2): Descriptors {
    return new Descriptors({
      spares,
      calls: this,
      report: (event) => this.events.push(event),
      shed: () => this.shed++,
    });
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

describe('a want of descriptors', () => {
  it.each([
    [missing('EMFILE'), true],
    [missing('ENFILE'), true],
    [missing('ENOSPC'), false],
    [missing('EIO'), false],
    [new KvorumError('DISK', 'x', { details: { errno: 'EMFILE' } }), true],
    [Object.assign(new Error('IO error: /d/5.ldb: Too many open files'), { code: 'LEVEL_IO_ERROR' }), true],
    [
      Object.assign(new Error('not open'), {
        code: 'LEVEL_DATABASE_NOT_OPEN',
        cause: Object.assign(new Error('IO error: LOCK: Too many open files'), { code: 'LEVEL_IO_ERROR' }),
      }),
      true,
    ],
    [Object.assign(new Error('Corruption: bad block'), { code: 'LEVEL_CORRUPTION' }), false],
    [undefined, false],
  ])('%o: %s', (error, is) => {
    expect(isOutOfDescriptors(error)).toBe(is);
  });

  it('gives what cannot wait one that was held back, tells it once, and sheds connections', () => {
    const system = new System(2);
    const descriptors = system.descriptors();
    expect(system.free).toBe(0);
    expect(descriptors.sync('open a', () => system.open())).toBeGreaterThan(0);
    expect(descriptors.sync('open b', () => system.open())).toBeGreaterThan(0);
    expect([system.pauses, system.shed, system.kinds]).toEqual([0, 2, ['descriptorsShort']]);
    system.free = 5;
    descriptors.sync('open c', () => system.open());
    expect(system.kinds).toEqual(['descriptorsShort', 'descriptorsAgain']);
    expect(system.free).toBe(2);
  });

  it('is waited out by what is synchronous, for a while, and then stops in words', () => {
    const system = new System(0);
    const descriptors = system.descriptors();
    system.onPause = () => {
      if (system.pauses === 3) system.free = 1;
    };
    expect(descriptors.sync('open a', () => system.open())).toBe(1);
    system.onPause = () => undefined;
    expect(() => descriptors.sync('open b', () => system.open())).toThrow(
      expect.objectContaining({
        code: 'DISK',
        message: expect.stringMatching(
          /cannot open b: too many files.*nothing is damaged.*ulimit -n/,
        ) as string,
      }),
    );
  });

  it('is waited out without end by what can wait', async () => {
    const system = new System(0);
    const descriptors = system.descriptors();
    let tries = 0;
    const value = await descriptors.promised('open', () => {
      if (++tries === 15) system.free = 5;
      return Promise.resolve().then(() => system.open());
    });
    expect([value, tries]).toEqual([5, 15]);
    expect(system.kinds).toEqual(['descriptorsShort', 'descriptorsAgain']);
  });

  it('is not what fails again and again while there are descriptors', async () => {
    const system = new System(20);
    let tries = 0;
    const stuck = (): Promise<never> => {
      tries++;
      return Promise.reject(missing('EMFILE'));
    };
    await expect(system.descriptors().promised('write', stuck)).rejects.toThrow('EMFILE');
    expect(tries).toBeGreaterThan(5);
  });

  it('is no other failure', async () => {
    const system = new System(0);
    const descriptors = system.descriptors();
    const fail = (): never => {
      throw missing('EIO');
    };
    expect(() => descriptors.sync('open', fail)).toThrow('EIO');
    await expect(descriptors.promised('open', () => Promise.reject(missing('EIO')))).rejects.toThrow('EIO');
    expect(system.kinds).toEqual([]);
  });

  it('ends with the disk', async () => {
    const system = new System(2);
    const descriptors = system.descriptors();
    const waiting = descriptors.promised('open', () => Promise.reject(missing('EMFILE')));
    descriptors.close();
    await expect(waiting).rejects.toThrow('EMFILE');
    expect(system.free).toBe(2);
  });
});
