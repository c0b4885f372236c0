// The table of retries and ambiguity: every answer a node may give, to a request that was or was not sent
// before, with and without time left. A write that was sent before may have taken effect, whatever the last
// node says.

import { describe, expect, test } from 'vitest';
import type { ErrorCode, Outcome } from '../../src/base/errors.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { Refusal } from './fake-cluster.js';
import { Harness } from './harness.js';

/** A harness whose session is open, so that the write under test is not the first of its session. */
function opened(): Harness {
  const harness = new Harness();
  harness.put('warm', 'warm');
  harness.world.run(100);
  return harness;
}

function isProbe(frame: ClientFrame): boolean {
  return frame.kind === 'write' || frame.kind === 'get';
}

interface Case {
  readonly code: string;
  readonly outcome: Outcome;
  readonly sentBefore: boolean;
  /** The node gives its answer only once, and would serve the request after that. */
  readonly once: boolean;
}

/** How a call ends that meets the case. */
function verdictOf(
  { code, outcome, sentBefore, once }: Case,
  kind: 'put' | 'get',
  firstOfSession = false,
): string {
  const harness = firstOfSession ? new Harness() : opened();
  if (firstOfSession) harness.world.run(50);
  const { world, cluster } = harness;
  let tries = 0;
  cluster.refuse = (_node, frame): Refusal | undefined => {
    if (!isProbe(frame)) return undefined;
    tries++;
    if (sentBefore && tries === 1) return 'drop';
    if (once && tries > (sentBefore ? 2 : 1)) return undefined;
    return { code: code as ErrorCode, outcome };
  };
  const call = kind === 'put' ? harness.put('k', 'v', 3_000) : harness.get('k', 3_000);
  world.run(20);
  if (sentBefore) for (const node of cluster.nodes) node.breakLinks();
  world.run(5_000);
  const { verdict } = call;
  const effects = cluster.effects.get('v') ?? 0;
  if (verdict === 'OK') expect(effects).toBe(1);
  else expect(effects).toBe(0);
  return verdict;
}

const outcomes: readonly Outcome[] = ['none', 'unknown'];
const followed = ['NOT_LEADER', 'UNAVAILABLE', 'OVERLOADED'];
const final = [
  ...[
    'NO_SPACE',
    'TOO_LARGE',
    'INVALID_ARGUMENT',
    'SESSION_LIMIT',
    'COMPACTED',
    'FUTURE_REVISION',
    'UNSUPPORTED',
  ],
  ...['TIMEOUT', 'PROTOCOL', 'FORMAT', 'IDENTITY', 'CORRUPT', 'DISK', 'INTERNAL', 'A_CODE_OF_TOMORROW'],
];

describe.each([false, true])('a write, sent before: %s,', (sentBefore) => {
  describe.each([false, true])('first of its session: %s,', (firstOfSession) => {
    const run = (code: string, outcome: Outcome, once: boolean): string =>
      verdictOf({ code, outcome, sentBefore, once }, 'put', firstOfSession);

    test.each(followed)('is sent again after %s while there is time', (code) => {
      for (const outcome of outcomes) expect(run(code, outcome, true)).toBe('OK');
    });

    test.each(followed)('ends at its deadline when %s is all it hears', (code) => {
      const ended = code === 'OVERLOADED' ? 'OVERLOADED' : 'UNAVAILABLE';
      expect(run(code, 'none', false)).toBe(`${ended} ${sentBefore ? 'unknown' : 'none'}`);
      expect(run(code, 'unknown', false)).toBe(`${ended} unknown`);
    });

    test.each(final)('ends at once with %s', (code) => {
      expect(run(code, 'none', true)).toBe(`${code} ${sentBefore ? 'unknown' : 'none'}`);
      expect(run(code, 'unknown', true)).toBe(`${code} unknown`);
    });

    test('goes to a new session after SESSION_EXPIRED only when no copy of it can be anywhere', () => {
      // Whatever outcome the node names: it judged this copy and did not execute it.
      for (const outcome of outcomes) {
        expect(run('SESSION_EXPIRED', outcome, true)).toBe(sentBefore ? 'SESSION_EXPIRED unknown' : 'OK');
      }
    });

    test('cannot tell what STALE means while its caller waits', () => {
      for (const outcome of outcomes) expect(run('STALE', outcome, true)).toBe('STALE unknown');
    });
  });
});

describe.each([false, true])('a read, sent before: %s,', (sentBefore) => {
  const run = (code: string, outcome: Outcome, once: boolean): string =>
    verdictOf({ code, outcome, sentBefore, once }, 'get');

  test.each(followed)('is sent again after %s', (code) => {
    for (const outcome of outcomes) expect(run(code, outcome, true)).toBe('got');
    const ended = code === 'OVERLOADED' ? 'OVERLOADED' : 'UNAVAILABLE';
    expect(run(code, 'unknown', false)).toBe(`${ended} none`);
  });

  test.each(final)('ends at once with %s, without effect', (code) => {
    for (const outcome of outcomes) expect(run(code, outcome, true)).toBe(`${code} none`);
  });
});

describe('a write that hears nothing', () => {
  test('ends with TIMEOUT, and may have taken effect', () => {
    expect(verdictOf({ code: 'NO_SPACE', outcome: 'none', sentBefore: true, once: false }, 'put')).toBe(
      'NO_SPACE unknown',
    );
    const harness = opened();
    harness.cluster.refuse = (_node, frame) => (frame.kind === 'write' ? 'drop' : undefined);
    const call = harness.put('k', 'v', 1_000);
    harness.world.run(999);
    expect(call.isDone).toBe(false);
    harness.world.run(1);
    expect(call.verdict).toBe('TIMEOUT unknown');
    expect(call.error.message).toContain('1000 ms');
  });

  test('ends with UNAVAILABLE without effect when nobody could be asked', () => {
    const harness = new Harness();
    for (const node of harness.cluster.nodes) node.isUp = false;
    const call = harness.put('k', 'v', 1_000);
    harness.world.run(1_000);
    expect(call.verdict).toBe('UNAVAILABLE none');
    expect(call.error.message).toContain('10.0.0.1:7401: ECONNREFUSED');
  });

  test('ends with UNAVAILABLE and an unknown outcome when the leader was lost after it was sent', () => {
    const harness = opened();
    harness.cluster.refuse = (_node, frame) => (frame.kind === 'write' ? 'drop' : undefined);
    const call = harness.put('k', 'v', 1_000);
    harness.world.run(10);
    for (const node of harness.cluster.nodes) node.crash();
    harness.world.run(1_000);
    expect(call.verdict).toBe('UNAVAILABLE unknown');
  });

  test('ends with TIMEOUT without effect while it waits behind the first write of the session', () => {
    const harness = new Harness();
    harness.cluster.refuse = (_node, frame) => (frame.kind === 'write' ? 'drop' : undefined);
    harness.world.run(50);
    const first = harness.put('a', 'a', 1_000);
    const second = harness.put('b', 'b', 1_000);
    harness.world.run(1_000);
    expect(first.verdict).toBe('TIMEOUT unknown');
    expect(second.verdict).toBe('TIMEOUT none');
  });
});
