// Where virtual time meets promises. Time moves only while something asked of the cluster is not answered;
// then events run in slices between which the promises of the test get their turn. A slice ends with the
// event that answers something, so that whoever waited for it goes on at exactly that virtual moment: what a
// test does next, and when, depends on nothing but the test and the seed. Must never look at real time.

import { KvorumError } from '../../base/errors.js';
import type { World } from '../run/world.js';

/** Taken when the module is loaded: fake timers that a test installs later must not stop the world. */
const runSoon = globalThis.setImmediate;

/** Events run before the process may do something else, some milliseconds of real time. */
const sliceEvents = 256;
/** How far time may jump when nothing is scheduled at all; what is awaited always has a deadline. */
const idleStepUs = 1_000_000;

interface Waiter {
  /** Virtual microseconds; no event after this runs while it waits. */
  readonly untilUs: number;
  /** Asked after every event; without it only time is waited for. */
  readonly holds: (() => boolean) | undefined;
  readonly resolve: (held: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export class VirtualTime {
  private readonly world: World;
  private readonly failure: () => Error | undefined;
  /** Things asked of the cluster and not answered; each waiter is one of them. */
  private awaited = 0;
  /** Grows with each answer. */
  private answers = 0;
  private waiters: Waiter[] = [];
  /** How to fail each wait for something that no event brings. */
  private readonly outsiders = new Set<(error: Error) => void>();
  /** Why nobody can wait any more. */
  private abandonedWith: Error | undefined;
  /** A slice is scheduled or runs. */
  private isTurning = false;

  /** `failure`: what is wrong with the world, if anything is; waiting for time ends with it. */
  constructor(world: World, failure: () => Error | undefined) {
    this.world = world;
    this.failure = failure;
  }

  /** Something was asked of the cluster: time moves until as many `end` as `begin` were called. */
  begin(): void {
    this.awaited++;
    if (this.isTurning) return;
    this.isTurning = true;
    runSoon(() => this.slice());
  }

  /** It was answered. */
  end(): void {
    this.awaited--;
    this.answers++;
  }

  /**
   * Resolves with true as soon as `holds` is true after an event, or, when everything due up to `untilUs`
   * (virtual microseconds, an integer not before now) has happened, with false. Rejects with what `holds`
   * throws, with the failure of the world, or with CLOSED.
   */
  wait(untilUs: number, holds?: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.abandonedWith !== undefined) {
        reject(this.abandonedWith);
        return;
      }
      const waiter: Waiter = { untilUs, holds, resolve, reject };
      this.begin();
      this.waiters.push(waiter);
    });
  }

  /**
   * Settles as `answer` does, or rejects with CLOSED. No time passes for its sake: what it waits for may lie
   * outside the world, and then how much time passed would depend on the speed of the machine.
   */
  async waitOutside<T>(answer: T): Promise<Awaited<T>> {
    const { promise: end, reject } = rejectable();
    if (this.abandonedWith === undefined) this.outsiders.add(reject);
    else reject(this.abandonedWith);
    try {
      // An answer that is there already wins.
      return await Promise.race([answer, end]);
    } finally {
      this.outsiders.delete(reject);
    }
  }

  /** Ends every wait, and each that is tried later, with the error. */
  abandon(error: Error): void {
    this.abandonedWith = error;
    for (const waiter of [...this.waiters]) this.remove(waiter, () => waiter.reject(error));
    for (const reject of this.outsiders) reject(error);
  }

  private slice(): void {
    const answersBefore = this.answers;
    for (let events = 0; events < sliceEvents && this.answers === answersBefore; events++) {
      if (this.awaited === 0) {
        this.isTurning = false;
        return;
      }
      this.step();
    }
    runSoon(() => this.slice());
  }

  private step(): void {
    const { scheduler } = this.world;
    let untilUs = scheduler.nowUs + idleStepUs;
    for (const waiter of this.waiters) untilUs = Math.min(untilUs, waiter.untilUs);
    const isQuiet = this.world.step(untilUs) === undefined;
    for (const waiter of [...this.waiters]) this.look(waiter, isQuiet && waiter.untilUs <= untilUs);
  }

  private look(waiter: Waiter, isDue: boolean): void {
    const failure = this.failure();
    if (failure !== undefined) {
      this.remove(waiter, () => waiter.reject(failure));
      return;
    }
    try {
      if (waiter.holds?.() === true) this.remove(waiter, () => waiter.resolve(true));
      else if (isDue) this.remove(waiter, () => waiter.resolve(false));
    } catch (error) {
      this.remove(waiter, () => waiter.reject(error));
    }
  }

  /** A waiter that is gone already, by what another one's condition did, is left alone. */
  private remove(waiter: Waiter, settle: () => void): void {
    const position = this.waiters.indexOf(waiter);
    if (position < 0) return;
    this.waiters.splice(position, 1);
    this.end();
    settle();
  }
}

function rejectable(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_, fail) => {
    reject = fail;
  });
  return { promise, reject };
}

/**
 * The promises that were handed to the test and are not settled yet. When the cluster is disposed these end
 * with CLOSED; a test that is over no longer listens, and Node must not take that for a mistake.
 */
export class OpenCalls {
  private readonly promises = new Set<Promise<unknown>>();

  /** Makes the call and keeps the promise that it returns, if it returns one, until that is settled. */
  make<T>(call: () => T): T {
    const result = call();
    if (!(result instanceof Promise)) return result;
    // Two promises: to ask one whether it is settled is to handle its rejection, which is up to the test.
    const promise = result.then();
    this.promises.add(promise);
    // A turn later: what fails together with the call that ends the test is not listened to either.
    const drop = (): void => void runSoon(() => this.promises.delete(promise));
    result.then(drop, drop);
    return promise as T;
  }

  /** From now on nobody need listen to them. */
  silence(): void {
    for (const promise of this.promises) promise.catch(() => undefined);
  }
}

/** What every use of a cluster that is gone gets. */
export function disposedError(): KvorumError {
  return new KvorumError('CLOSED', 'the test cluster was disposed; make another one with testCluster()');
}
