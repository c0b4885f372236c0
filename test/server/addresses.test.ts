// What an address is, where members are, and a name of one's own that is known late.

import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { addressFault, splitAddress } from '../../src/server/config/address.js';
import { ClusterView } from '../../src/server/life/cluster-view.js';
import { listenOnceKnown } from '../../src/server/listening.js';
import type { NodeEvent } from '../../src/server/events.js';

describe('an address', () => {
  test.each([
    ['localhost:7401', 'localhost', 7401],
    ['10.0.0.1:1', '10.0.0.1', 1],
    ['[::1]:65535', '::1', 65535],
  ])('%s', (text, host, port) => {
    expect(addressFault(text)).toBeUndefined();
    expect(splitAddress(text)).toEqual({ host, port });
  });

  test.each(['', 'localhost', ':1', 'a b:1', 'http://a:1', '::1:7', '[::1]', 'a:1:2', '[x]:1', 'a:123456'])(
    'not %j',
    (text) => expect(addressFault(text)).toBe('must be host:port'),
  );

  test.each(['a:0', 'a:65536'])('not %j, by its port', (text) => {
    expect(addressFault(text)).toMatch(/^must have a port of 1 to 65535, not \d+$/);
  });
});

describe('where members are', () => {
  const at = (port: number): { nodeId: string; address: string }[] =>
    ['n2', 'n1'].map((nodeId) => ({ nodeId, address: `${nodeId}:${port}` }));

  test('what moves is told once', () => {
    const view = new ClusterView('n1', at(1));
    expect(view.memberIds).toEqual(['n1', 'n2']);
    expect(view.others).toEqual([{ nodeId: 'n2', address: 'n2:1' }]);
    expect(view.move(at(2))).toEqual([
      { nodeId: 'n2', from: 'n2:1', to: 'n2:2' },
      { nodeId: 'n1', from: 'n1:1', to: 'n1:2' },
    ]);
    expect(view.move(at(2))).toEqual([]);
    expect(view.addressOf('n2')).toBe('n2:2');
  });

  test('a list of others moves nobody', () => {
    const view = new ClusterView('n1', at(1));
    const others = [...at(2), { nodeId: 'n3', address: 'n3:2' }];
    expect(() => view.move(others)).toThrow(/n1, n2, n3, this node was started with n1, n2/);
    expect(() => view.move(at(2).slice(1))).toThrow(KvorumError);
    expect(view.addressOf('n1')).toBe('n1:1');
  });
});

describe('a name of one’s own', () => {
  const failure = (errno: string): KvorumError =>
    new KvorumError('CONFIG', 'cannot listen', { details: { errno } });

  async function listenAfter(
    errors: readonly KvorumError[],
  ): Promise<{ events: NodeEvent[]; tries: number }> {
    const events: NodeEvent[] = [];
    let tries = 0;
    const listen = async (): Promise<void> => {
      const error = errors[tries++];
      if (error !== undefined) throw error;
    };
    await listenOnceKnown(
      listen,
      'me:1',
      (event) => events.push(event),
      () => Promise.resolve(),
    );
    return { events, tries };
  }

  test('is waited for while it is not known', async () => {
    const { events, tries } = await listenAfter([failure('ENOTFOUND'), failure('EAI_AGAIN')]);
    expect(tries).toBe(3);
    expect(events.map((event) => event.kind)).toEqual(['ownNameUnknown', 'ownNameUnknown']);
  });

  test('is not waited for without end, and no other error is', async () => {
    const never = Array.from({ length: 1_000 }, () => failure('ENOTFOUND'));
    await expect(listenAfter(never)).rejects.toThrow('cannot listen');
    await expect(listenAfter([failure('EADDRINUSE')])).rejects.toThrow('cannot listen');
  });
});
