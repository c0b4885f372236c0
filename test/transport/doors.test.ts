// Who gets a place at a node's address, and who goes: the deciding part alone, against a plain model of it,
// and with real sockets.

import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Doors, originOf, type DoorLimits, type Origin } from '../../src/transport/doors.js';
import { patienceMs, until } from '../waiting.js';
import { openClient, openSocket, startNode, stopAll, type RawSocket } from './harness.js';

afterEach(stopAll);

const limits: DoorLimits = { strangersMax: 3, clientsMax: 4, addressClientsMax: 2, membersMax: 2 };
const from = (address: string, isLocal = false): Origin => ({ address, isLocal });
const here = from('127.0.0.1', true);

describe('a stranger', () => {
  it('that was silent longest goes when one more comes', () => {
    const doors = new Doors<string>(limits);
    for (const name of ['a', 'b', 'c']) expect(doors.arrive(name, here)).toBeUndefined();
    doors.touch('a');
    expect(doors.arrive('d', here)).toBe('b');
    expect(doors.arrive('e', here)).toBe('c');
    expect(doors.arrive('f', here)).toBe('a');
  });

  it('goes before those of addresses that have fewer', () => {
    const doors = new Doors<string>(limits);
    doors.arrive('only one', from('10.0.0.1'));
    doors.arrive('x1', from('10.0.0.2'));
    expect(doors.arrive('x2', from('10.0.0.2'))).toBeUndefined();
    expect(doors.arrive('x3', from('10.0.0.2'))).toBe('x1');
    expect(doors.arrive('x4', from('10.0.0.2'))).toBe('x2');
    expect(doors.arrive('other', from('10.0.0.3'))).toBe('x3');
  });

  it('takes no place of a client or a member, and they none of each other', () => {
    const doors = new Doors<string>(limits);
    const admit = (name: string, kind: 'client' | 'member'): unknown => {
      doors.arrive(name, here);
      return doors.admit(name, kind);
    };
    for (const name of ['c1', 'c2', 'c3', 'c4']) expect(admit(name, 'client')).toBeUndefined();
    expect(admit('c5', 'client')).toBe('full');
    expect(admit('m1', 'member')).toBeUndefined();
    expect(admit('m2', 'member')).toBeUndefined();
    expect([doors.count('client'), doors.count('member'), doors.strangerCount]).toEqual([4, 2, 1]);
    for (let i = 0; i < 20; i++) doors.arrive(`s${i}`, here);
    expect([doors.count('client'), doors.count('member'), doors.strangerCount]).toEqual([4, 2, 3]);
    // A link too many in the name of members stays among those who may go.
    expect(admit('m3', 'member')).toBeUndefined();
    expect([doors.count('member'), doors.strangerCount]).toEqual([2, 3]);
  });

  it('of one address takes no more than its share of the clients, but for this machine', () => {
    const doors = new Doors<string>(limits);
    const admit = (name: string, origin: Origin): unknown => {
      doors.arrive(name, origin);
      return doors.admit(name, 'client');
    };
    expect([admit('a', from('x')), admit('b', from('x')), admit('c', from('x'))]).toEqual([
      undefined,
      undefined,
      'address',
    ]);
    expect([admit('d', here), admit('e', here), admit('f', here)]).toEqual([undefined, undefined, 'full']);
    doors.leave('a');
    expect(doors.admit('c', 'client')).toBeUndefined();
  });

  it('is what a connection is that is being closed', () => {
    const doors = new Doors<string>(limits);
    doors.arrive('client', here);
    doors.admit('client', 'client');
    for (const name of ['a', 'b', 'c']) doors.arrive(name, here);
    expect(doors.release('client')).toBe('a');
    expect([doors.count('client'), doors.strangerCount]).toEqual([0, 3]);
    doors.leave('client');
    doors.leave('client');
    expect(doors.strangerCount).toBe(2);
  });
});

describe('whatever comes and goes', () => {
  const step = fc.record({
    what: fc.constantFrom('arrive', 'touch', 'client', 'member', 'release', 'leave', 'shed'),
    id: fc.nat(12),
    address: fc.constantFrom('127.0.0.1', '10.0.0.1', '10.0.0.2'),
  });

  it('no bound is passed, and whoever must go is told once', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const doors = new Doors<number>(limits);
        const kinds = new Map<number, { kind: string; address: string }>();
        const gone = (id: number | undefined): void => {
          if (id === undefined) return;
          expect(kinds.get(id)?.kind).toBe('stranger');
          kinds.delete(id);
        };
        for (const { what, id, address } of steps) {
          const known = kinds.get(id);
          if (what === 'arrive' && known === undefined) {
            kinds.set(id, { kind: 'stranger', address });
            gone(doors.arrive(id, originOf(address)));
          } else if (what === 'touch') doors.touch(id);
          else if (what === 'client' || what === 'member') {
            const before = doors.count(what);
            doors.admit(id, what);
            if (doors.count(what) > before && known !== undefined) kinds.set(id, { ...known, kind: what });
          } else if (what === 'release') {
            if (known !== undefined && known.kind !== 'stranger')
              kinds.set(id, { ...known, kind: 'stranger' });
            gone(doors.release(id));
          } else if (what === 'leave') {
            doors.leave(id);
            kinds.delete(id);
          } else if (what === 'shed') gone(doors.shed());
          const count = (kind: string, of?: string): number =>
            [...kinds.values()].filter((each) => each.kind === kind && (of ?? each.address) === each.address)
              .length;
          expect(doors.strangerCount).toBe(count('stranger'));
          expect([doors.count('client'), doors.count('member')]).toEqual([count('client'), count('member')]);
          expect(count('stranger')).toBeLessThanOrEqual(limits.strangersMax);
          expect(count('client')).toBeLessThanOrEqual(limits.clientsMax);
          expect(count('member')).toBeLessThanOrEqual(limits.membersMax);
          for (const other of ['10.0.0.1', '10.0.0.2']) {
            expect(count('client', other)).toBeLessThanOrEqual(limits.addressClientsMax);
          }
        }
      }),
    );
  });
});

describe('an address', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', true],
    ['::ffff:127.0.0.1', '127.0.0.1', true],
    ['::ffff:10.1.2.3', '10.1.2.3', false],
    ['10.1.2.3', '10.1.2.3', false],
    ['::1', '0:0:0:0::/64', true],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', false],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64', false],
    ['2001:db8::9', '2001:db8:0:0::/64', false],
    ['fe80::1%eth0', 'fe80:0:0:0::/64', false],
  ])('%s counts as %s', (remote, address, isLocal) => {
    expect(originOf(remote)).toEqual({ address, isLocal });
  });
});

describe('at real sockets', () => {
  it('silent ones give way to whoever says who it is', async () => {
    // None is closed because its time is over.
    const node = await startNode({
      limits: { strangersMax: 4, clientsMax: 3, httpTimeoutMs: 2 * patienceMs },
    });
    const silent: RawSocket[] = [];
    for (let i = 0; i < 20; i++) silent.push(await openSocket(node.port));
    await until(() => silent.filter((each) => each.isClosed()).length === 16, 'the oldest to be closed');
    expect(silent.slice(16).some((each) => each.isClosed())).toBe(false);
    const client = await openClient(node.address);
    const [link = 0] = node.handler.links('client');
    expect(node.network.admit(link)).toBeUndefined();
    for (let i = 0; i < 20; i++) silent.push(await openSocket(node.port));
    await until(() => silent.filter((each) => each.isClosed()).length === 36, 'the oldest to be closed');
    expect(client.closed).toBeUndefined();
    client.webSocket.send(Buffer.from('hello'));
    await until(() => node.handler.received(link).length === 1, 'the message');
  });

  it('a client beyond the limit is told so, until one is closed', async () => {
    const node = await startNode({ limits: { clientsMax: 1 } });
    const first = await openClient(node.address);
    await openClient(node.address);
    const [one = 0, two = 0] = node.handler.links('client');
    expect(node.network.admit(one)).toBeUndefined();
    expect(node.network.admit(two)).toMatchObject({
      code: 'OVERLOADED',
      message: expect.stringMatching(/limit of 1 clients.*ulimit -n/) as string,
    });
    first.webSocket.close();
    await until(() => node.network.admit(two) === undefined, 'the place');
  });

  it('one that this node closes gives up its place at once, however long the other side takes', async () => {
    const node = await startNode({ limits: { clientsMax: 1, strangersMax: 2 } });
    const first = await openSocket(node.port);
    first.socket.write(
      'GET /client HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await until(() => node.handler.links('client').length === 1, 'the link');
    const [one = 0] = node.handler.links('client');
    node.network.admit(one);
    node.close(one, 'no more');
    await openClient(node.address);
    expect(node.network.admit(node.handler.links('client')[1] ?? 0)).toBeUndefined();
    for (let i = 0; i < 3; i++) await openSocket(node.port);
    await until(first.isClosed, 'the end of the one that does not answer the close');
  });
});
