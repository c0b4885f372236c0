// A leader's view of one follower: the rules of its three modes, and that it always finds the follower's log
// again, whatever is lost, doubled or reordered on the way, without ever having more in flight than allowed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWindow } from '../../src/raft/byte-window.js';
import { Progress } from '../../src/raft/progress.js';

const limits = { inFlightBytesMax: 30, inFlightMessagesMax: 3 };

type Event =
  | { kind: 'send'; bytes: number }
  | { kind: 'answer'; position: number; keep: boolean }
  | { kind: 'lose'; position: number }
  | { kind: 'heartbeat' }
  | { kind: 'linkDown' }
  | { kind: 'linkUp' }
  | { kind: 'truncate'; index: number }
  | { kind: 'snapshotEnds'; installed: boolean }
  | { kind: 'logLost'; matches: number };

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), bytes: fc.nat(40) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('answer' as const), position: fc.nat(20), keep: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), position: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'heartbeat' as const }, { kind: 'linkDown' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'linkUp' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate' as const), index: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('snapshotEnds' as const), installed: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('logLost' as const), matches: fc.nat(8) }) },
);

/** A follower whose log agrees with the leader's through `matches`; every message is one entry of `bytes`. */
class Exchange {
  readonly progress: Progress;
  readonly log: { baseIndex: number; lastIndex: number };
  private matches: number;
  private network: { prev: number; last: number }[] = [];
  private matchBefore = 0;

  constructor(lastIndex: number, matches: number) {
    this.log = { baseIndex: 0, lastIndex };
    this.progress = new Progress('n2', this.log, 0);
    this.matches = Math.min(matches, lastIndex);
  }

  run(step: Event): void {
    const { progress } = this;
    const wasSnapshot = progress.mode === 'snapshot';
    this.act(step);
    const isAnswer = wasSnapshot || step.kind === 'answer';
    holds(progress.mode !== 'snapshot' || isAnswer, 'a snapshot only for its own answer');
    this.check();
  }

  private act(step: Event): void {
    const { progress } = this;
    if (step.kind === 'send') this.send(step.bytes);
    else if (step.kind === 'answer') this.answer(step.position, step.keep);
    else if (step.kind === 'lose') this.network.splice(step.position % (this.network.length || 1), 1);
    else if (step.kind === 'linkDown') progress.pause();
    else if (step.kind === 'linkUp') progress.becomeProbe();
    else if (step.kind === 'truncate') this.truncate(step.index);
    else if (step.kind === 'snapshotEnds') this.snapshotEnds(step.installed);
    else if (step.kind === 'logLost') this.logLost(step.matches);
    else if (progress.mode === 'probe') progress.resumeProbe();
  }

  private truncate(index: number): void {
    this.log.baseIndex = Math.max(this.log.baseIndex, Math.min(index, this.log.lastIndex));
    this.progress.logTruncated();
  }

  private snapshotEnds(installed: boolean): void {
    const wasSnapshot = this.progress.mode === 'snapshot';
    if (installed && wasSnapshot) this.matches = Math.max(this.matches, this.log.baseIndex);
    const { mode, nextIndex } = this.progress;
    this.progress.snapshotEnded(installed);
    if (!wasSnapshot) expect([this.progress.mode, this.progress.nextIndex]).toEqual([mode, nextIndex]);
    else expect(this.progress.canSend(1, limits), 'asks at once, or when heard').toBe(installed);
  }

  private logLost(matches: number): void {
    this.matches = Math.min(this.matches, matches);
    this.matchBefore = 0;
    this.network = [];
    this.progress.reset();
    expect(this.progress.matchIndex).toBe(0);
  }

  /** Nothing is lost any more; the leader has `lastIndex` and a heartbeat is answered now and then. */
  settle(lastIndex: number): void {
    for (let round = 0; round < 2_000 && this.progress.matchIndex < lastIndex; round++) {
      if (this.progress.mode === 'snapshot') this.snapshotEnds(true);
      else if (this.network.length > 0) this.answer(0, false);
      else if (this.progress.mode === 'probe') this.progress.resumeProbe();
      else if (this.progress.isBehindSent) {
        this.network.push({ prev: this.progress.nextIndex - 1, last: this.progress.nextIndex - 1 });
      }
      if (this.progress.nextIndex <= lastIndex) this.send(1);
      this.check();
    }
  }

  private send(bytes: number): void {
    const { progress } = this;
    if (!progress.canSend(bytes, limits)) return;
    const index = progress.nextIndex;
    this.log.lastIndex = Math.max(this.log.lastIndex, index);
    this.network.push({ prev: index - 1, last: index });
    progress.sent(index, bytes);
  }

  private answer(position: number, keep: boolean): void {
    const at = position % (this.network.length || 1);
    const message = this.network[at];
    if (message === undefined) return;
    if (!keep) this.network.splice(at, 1);
    if (message.prev > this.matches) {
      this.progress.rejected(message.prev, this.matches);
      return;
    }
    this.matches = Math.max(this.matches, message.last);
    this.progress.acknowledged(message.last);
  }

  private check(): void {
    const { matchIndex, nextIndex, inFlight, mode } = this.progress;
    holds(matchIndex >= this.matchBefore, 'matchIndex does not go back');
    holds(matchIndex <= this.matches, 'the peer has what it is believed to have');
    holds(nextIndex > matchIndex, 'what was acknowledged is not sent again');
    holds(inFlight.count <= limits.inFlightMessagesMax, 'messages in flight');
    holds(inFlight.count <= 1 || inFlight.bytes <= limits.inFlightBytesMax, 'bytes in flight');
    holds(mode === 'replicate' || inFlight.count === 0, 'nothing is sent ahead without agreement');
    holds(nextIndex > this.log.baseIndex === (mode !== 'snapshot'), 'what is to be sent is in the log');
    holds(mode !== 'snapshot' || !this.progress.canSend(1, limits), 'nothing is sent before the snapshot');
    this.matchBefore = matchIndex;
  }
}

/** Called very often: an `expect` each time would be most of the test. */
function holds(condition: boolean, rule: string): void {
  if (!condition) expect.fail(rule);
}

describe('progress', () => {
  it('never believes more than the follower has, keeps its limits, and catches up in the end', () => {
    fc.assert(
      fc.property(fc.nat(8), fc.nat(8), fc.array(event, { maxLength: 80 }), (last, matches, events) => {
        const exchange = new Exchange(last, matches);
        for (const step of events) exchange.run(step);
        const goal = last + 100;
        exchange.settle(goal);
        expect(exchange.progress.matchIndex).toBe(goal);
      }),
      { numRuns: 500 },
    );
  });

  it('sends one message while probing, and more when the logs are known to agree', () => {
    const progress = new Progress('n2', { baseIndex: 0, lastIndex: 4 }, 0);
    expect(progress.canSend(1, limits)).toBe(true);
    progress.sent(5, 1);
    expect(progress.canSend(1, limits)).toBe(false);
    progress.acknowledged(5);
    expect(progress.mode).toBe('replicate');
    progress.sent(6, 10);
    progress.sent(7, 10);
    expect(progress.canSend(11, limits), 'bytes in flight').toBe(false);
    progress.sent(8, 10);
    expect(progress.canSend(0, limits), 'messages in flight').toBe(false);
    progress.acknowledged(7);
    expect(progress.inFlight.count).toBe(1);
    expect(progress.canSend(20, limits)).toBe(true);
  });

  it('sends one entry larger than the window when nothing is in flight', () => {
    const progress = new Progress('n2', { baseIndex: 0, lastIndex: 0 }, 0);
    progress.acknowledged(0);
    expect(progress.canSend(1_000, limits)).toBe(true);
  });

  it('does not move back for a refusal of what was acknowledged or asked before', () => {
    const progress = new Progress('n2', { baseIndex: 0, lastIndex: 9 }, 0);
    expect(progress.rejected(5, 4), 'another probe').toBe(false);
    expect(progress.rejected(9, 6)).toBe(true);
    expect(progress.nextIndex).toBe(7);
    progress.acknowledged(8);
    expect(progress.rejected(8, 2), 'acknowledged').toBe(false);
    expect(progress.mode).toBe('replicate');
    progress.sent(9, 1);
    expect(progress.rejected(9, 2)).toBe(true);
    expect(progress.nextIndex, 'never to or below what it acknowledged').toBe(9);
  });
});

describe('progress of a peer that needs a snapshot', () => {
  function needing(log = { baseIndex: 5, lastIndex: 9 }): Progress {
    const progress = new Progress('n2', log, 0);
    expect(progress.rejected(9, 3)).toBe(true);
    expect([progress.mode, progress.nextIndex]).toEqual(['snapshot', 4]);
    return progress;
  }

  it('is found out by its refusal, also where the entry it needs is the base itself', () => {
    needing();
    const progress = new Progress('n2', { baseIndex: 5, lastIndex: 9 }, 0);
    expect(progress.rejected(9, 5)).toBe(true);
    expect([progress.mode, progress.nextIndex], 'the entry after the base is there').toEqual(['probe', 6]);
    expect(progress.rejected(5, 4)).toBe(true);
    expect([progress.mode, progress.nextIndex]).toEqual(['snapshot', 5]);
  });

  it('is not changed by late refusals, heartbeats, or acknowledgements of too little', () => {
    const progress = needing();
    expect(progress.rejected(9, 2)).toBe(false);
    expect(progress.rejected(8, 7)).toBe(false);
    progress.resumeProbe();
    progress.pause();
    expect(progress.acknowledged(4)).toBe(true);
    expect([progress.mode, progress.matchIndex, progress.nextIndex]).toEqual(['snapshot', 4, 5]);
    expect([progress.canSend(1, limits), progress.isBehindSent]).toEqual([false, false]);
    expect(() => progress.sent(6, 1)).toThrow(/needs a snapshot first/);
  });

  it('goes on where the log does, as soon as it acknowledges that much', () => {
    const progress = needing();
    progress.acknowledged(5);
    expect([progress.mode, progress.nextIndex]).toEqual(['replicate', 6]);
  });

  it('is asked at the end of the log when the sending has ended, at once or when it is heard', () => {
    for (const installed of [true, false]) {
      const log = { baseIndex: 5, lastIndex: 9 };
      const progress = needing(log);
      log.lastIndex = 12;
      progress.snapshotEnded(installed);
      expect([progress.mode, progress.nextIndex]).toEqual(['probe', 13]);
      expect(progress.canSend(1, limits)).toBe(installed);
      progress.resumeProbe();
      expect(progress.canSend(1, limits)).toBe(true);
    }
  });
});

describe('byte window', () => {
  it('sums what is open, whatever is released in between', () => {
    const steps = fc.array(fc.record({ bytes: fc.nat(9), release: fc.nat(300) }), { maxLength: 300 });
    fc.assert(
      fc.property(steps, (pieces) => {
        const window = new ByteWindow();
        let twin: { lastIndex: number; bytes: number }[] = [];
        for (const [position, { bytes, release }] of pieces.entries()) {
          window.push(position, bytes);
          twin.push({ lastIndex: position, bytes });
          if (release > position) continue;
          window.releaseThrough(release);
          twin = twin.filter(({ lastIndex }) => lastIndex > release);
          expect(window.count).toBe(twin.length);
          expect(window.bytes).toBe(twin.reduce((sum, piece) => sum + piece.bytes, 0));
        }
      }),
    );
  });
});
