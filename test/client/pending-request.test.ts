// The states of a request, all of them against everything that can happen to one: what is allowed and what
// the outcome is then, and that anything else is an assertion. A write is prepared in each state, with and
// without an earlier copy that may still take effect.

import { describe, expect, test } from 'vitest';
import { AssertionError } from '../../src/base/assert.js';
import type { Outcome } from '../../src/base/errors.js';
import { givenUp, timedOut } from '../../src/client/engine/failures.js';
import {
  createRequest,
  type PendingRequest,
  type RequestCarrier,
  type RequestOwner,
} from '../../src/client/engine/pending-request.js';
import type { EngineRequest } from '../../src/client/engine/requests.js';
import { Session } from '../../src/client/engine/session.js';
import { TimerQueue } from '../../src/client/engine/timer-queue.js';
import type { ErrorAnswer } from '../../src/wire/clients/answers.js';
import { FakeWorld } from './fake-world.js';
import { getRequest, putRequest } from './harness.js';

const carrier: RequestCarrier = { address: 'a:1', forget: () => undefined };
const lostCause = { code: 'UNAVAILABLE', message: 'a:1: connection reset' };

function answer(code: string, outcome: Outcome): ErrorAnswer {
  return { kind: 'error', requestId: 1, code, message: 'scripted', outcome };
}

const askedFor: Readonly<Record<'write' | 'read' | 'raise', EngineRequest>> = {
  write: putRequest('k', 'v'),
  read: getRequest('k'),
  raise: { kind: 'raiseFormat', level: 2, endpoint: 'a:1' },
};

class Bench implements RequestOwner {
  readonly world = new FakeWorld();
  readonly alarms = new TimerQueue(this.world.env.clock, this.world.env.timers);
  readonly session = new Session('s'.repeat(16), 0, 0);
  readonly told: string[] = [];
  readonly request: PendingRequest;

  constructor(kind: 'write' | 'read' | 'raise') {
    const asked = askedFor[kind];
    this.request = createRequest(this, asked, this.world.nowMs, 1_000, () => undefined);
  }

  onDeadline(): void {
    this.told.push('deadline');
  }

  onCancel(_request: PendingRequest, cause: unknown): void {
    this.told.push(`cancel ${String(cause)}`);
  }

  onRetry(): void {
    this.told.push('retry');
  }
}

type Action = (bench: Bench) => void;

const actions = {
  stamp: ({ request, session }) => request.stamp(session, session.take()),
  unstamp: ({ request }) => request.unstamp(),
  send: ({ request }) => request.send(carrier, 7),
  left: ({ request }) => request.left(5),
  unsent: ({ request }) => request.unsent(),
  lost: ({ request }) => request.lost(lostCause),
  takenBack: ({ request }) => request.takenBack(),
  'refused, none': ({ request }) => request.refused(carrier, answer('NOT_LEADER', 'none')),
  'refused, unknown': ({ request }) => request.refused(carrier, answer('UNAVAILABLE', 'unknown')),
  'refused, expired': ({ request }) => request.refused(carrier, answer('SESSION_EXPIRED', 'unknown')),
  'refused, stale': ({ request }) => request.refused(carrier, answer('STALE', 'unknown')),
  retry: ({ request }) => request.retry(),
  delay: ({ request, alarms }) => request.delay(alarms, 1_100),
  wake: ({ request }) => request.wake(),
  finish: ({ request }) => request.finish(),
} as const satisfies Record<string, Action>;

type ActionName = keyof typeof actions;

interface Row {
  /** How a new write comes into the state. */
  readonly path: readonly ActionName[];
  /** What is allowed, and the state and outcome after it. */
  readonly next: Partial<Record<ActionName, string>>;
  /** The ends of a caller who gives up, and of one whose time is over, with a leader known. */
  readonly cancelled: string;
  readonly timeout: string;
}

const sentBefore: readonly ActionName[] = ['stamp', 'send', 'left', 'lost'];

const table: Record<string, Row> = {
  'queued, new': {
    path: [],
    next: { stamp: 'queued none', unstamp: 'queued none', finish: 'done none' },
    cancelled: 'ABORTED none',
    timeout: 'TIMEOUT none',
  },
  'queued, stamped': {
    path: ['stamp'],
    next: { unstamp: 'queued none', send: 'sent none', finish: 'done none' },
    cancelled: 'ABORTED none',
    timeout: 'TIMEOUT none',
  },
  'queued, a copy lost': {
    path: sentBefore,
    next: { send: 'sent unknown', finish: 'done unknown' },
    cancelled: 'ABORTED unknown',
    timeout: 'UNAVAILABLE unknown',
  },
  'queued, returned unsent': {
    path: ['stamp', 'send', 'unsent'],
    next: { unstamp: 'queued none', send: 'sent none', finish: 'done none' },
    cancelled: 'ABORTED none',
    timeout: 'TIMEOUT none',
  },
  'in the next message': {
    path: ['stamp', 'send'],
    next: {
      left: 'sent unknown',
      unsent: 'queued none',
      finish: 'done none',
    },
    cancelled: 'ABORTED none',
    timeout: 'TIMEOUT none',
  },
  'in the next message, a copy lost': {
    path: [...sentBefore, 'send'],
    next: {
      left: 'sent unknown',
      unsent: 'queued unknown',
      finish: 'done unknown',
    },
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
  sent: {
    path: ['stamp', 'send', 'left'],
    next: {
      lost: 'queued unknown',
      takenBack: 'queued unknown',
      'refused, none': 'sent none',
      'refused, unknown': 'sent unknown',
      'refused, expired': 'sent none',
      'refused, stale': 'sent none',
      finish: 'done unknown',
    },
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
  'sent, a copy lost': {
    path: [...sentBefore, 'send', 'left'],
    next: {
      lost: 'queued unknown',
      takenBack: 'queued unknown',
      'refused, none': 'sent unknown',
      'refused, unknown': 'sent unknown',
      'refused, expired': 'sent unknown',
      'refused, stale': 'sent unknown',
      finish: 'done unknown',
    },
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
  refused: {
    path: ['stamp', 'send', 'left', 'refused, none'],
    next: { retry: 'queued none', delay: 'delayed none', finish: 'done none' },
    cancelled: 'ABORTED none',
    timeout: 'TIMEOUT none',
  },
  'refused, and may have an effect all the same': {
    path: ['stamp', 'send', 'left', 'refused, unknown'],
    next: { retry: 'queued unknown', delay: 'delayed unknown', finish: 'done unknown' },
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
  'refused, a copy lost': {
    path: [...sentBefore, 'send', 'left', 'refused, expired'],
    next: { retry: 'queued unknown', delay: 'delayed unknown', finish: 'done unknown' },
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
  delayed: {
    path: ['stamp', 'send', 'left', 'refused, none', 'delay'],
    next: { wake: 'queued none', finish: 'done none' },
    cancelled: 'ABORTED none',
    timeout: 'UNAVAILABLE none',
  },
  'delayed, a copy open': {
    path: ['stamp', 'send', 'left', 'refused, unknown', 'delay'],
    next: { wake: 'queued unknown', finish: 'done unknown' },
    cancelled: 'ABORTED unknown',
    timeout: 'UNAVAILABLE unknown',
  },
  done: {
    path: ['stamp', 'send', 'left', 'finish'],
    next: {},
    cancelled: 'ABORTED unknown',
    timeout: 'TIMEOUT unknown',
  },
};

function prepared({ path }: Row): Bench {
  const bench = new Bench('write');
  for (const name of path) actions[name](bench);
  return bench;
}

describe.each(Object.entries(table))('a write that is %s', (_name, row) => {
  test.each(Object.entries(actions))('%s', (name, act) => {
    const bench = prepared(row);
    const { request } = bench;
    const before = `${request.state} ${request.outcome}`;
    const after = row.next[name as ActionName];
    if (after === undefined) {
      expect(() => act(bench)).toThrow(AssertionError);
      expect(`${request.state} ${request.outcome}`).toBe(before);
    } else {
      act(bench);
      expect(`${request.state} ${request.outcome}`).toBe(after);
      expect(request.mayHaveEffect).toBe(request.outcome === 'unknown');
    }
  });

  test('ends of a caller who does not wait', () => {
    const { request } = prepared(row);
    const cancelled = givenUp(request, 'ABORTED', 'the call was aborted', undefined);
    expect(`${cancelled.code} ${cancelled.outcome}`).toBe(row.cancelled);
    const late = timedOut(request, true, { describe: () => '', reasons: () => ({}) });
    expect(`${late.code} ${late.outcome}`).toBe(row.timeout);
  });

  test('STALE never ends as none', () => {
    expect(prepared(row).request.outcomeOf('STALE')).toBe('unknown');
  });
});

test('a read never has an effect, whatever becomes of it', () => {
  const bench = new Bench('read');
  const { request } = bench;
  for (const name of ['send', 'left', 'lost', 'send', 'left', 'refused, unknown', 'retry'] as const) {
    actions[name](bench);
    expect(request.outcome).toBe('none');
  }
  expect(request.outcomeOf('STALE')).toBe('none');
  expect(() => request.stamp(bench.session, 1)).toThrow(AssertionError);
});

test('readers see by the state what there is to see', () => {
  const bench = prepared(table['in the next message'] as Row);
  const { request } = bench;
  if (request.state !== 'sent') throw new Error(request.state);
  expect(request.connection).toBe(carrier);
  expect([request.requestId, request.hasLeft]).toEqual([7, false]);
  request.left(5);
  expect([request.hasLeft, request.sentAtMs]).toEqual([true, 5]);
});

test('a delayed request tells its engine when its time has come, and not after it was woken or done', () => {
  const bench = prepared(table['delayed'] as Row);
  bench.world.run(99);
  expect(bench.told).toEqual([]);
  bench.world.run(1);
  expect(bench.told).toEqual(['retry']);
  for (const end of ['wake', 'finish'] as const) {
    const other = prepared(table['delayed'] as Row);
    actions[end](other);
    other.world.run(1_000);
    expect(other.told).toEqual([]);
    expect(other.world.timerCount).toBe(0);
  }
});

test('what the frame carries: the time that is left, and the same stamp at each try', () => {
  const bench = prepared(table['sent, a copy lost'] as Row);
  const { request } = bench;
  expect(request.frame(9, bench.world.nowMs + 400)).toMatchObject({
    kind: 'write',
    requestId: 9,
    timeoutMs: 600,
  });
  expect(request.frame(9, bench.world.nowMs + 5_000)).toMatchObject({ timeoutMs: 1 });
  expect(request.sequence).toBe(1);
  request.cancel('why');
  request.onTime(0);
  expect(bench.told).toEqual(['cancel why', 'deadline']);
});

test('a raise of the format level may have been carried out by every copy that is not answered', () => {
  const outcomeAfter = (...path: ActionName[]): Outcome => {
    const bench = new Bench('raise');
    for (const action of path) actions[action](bench);
    return bench.request.outcome;
  };
  expect(outcomeAfter('send')).toBe('none');
  expect(outcomeAfter('send', 'left')).toBe('unknown');
  expect(outcomeAfter('send', 'left', 'lost')).toBe('unknown');
  expect(outcomeAfter('send', 'left', 'refused, none')).toBe('none');
  expect(outcomeAfter('send', 'left', 'refused, unknown')).toBe('unknown');
  // The first copy is still on its way.
  expect(outcomeAfter('send', 'left', 'lost', 'send', 'left', 'refused, none')).toBe('unknown');
});
