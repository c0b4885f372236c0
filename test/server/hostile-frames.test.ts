// Thousands of frames of each kind in one message: what they cost the node is bounded, whatever the kind, and
// another client is answered meanwhile. A new kind of frame does not compile until it has a line here.

import { describe, expect, test } from 'vitest';
import type { ClientCommand } from '../../src/kv/commands.js';
import { encodeCommand } from '../../src/wire/commands/command-codec.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import { command, ifRevision, put } from '../kv/helpers.js';
import { clientHello, ClientsWorld } from './clients-world.js';
import { HeavyWorld } from './heavy-world.js';

const mebibyte = 1_048_576;
const read = {
  timeoutMs: 1_000,
  consistency: { kind: 'serializable' },
  revision: 1,
  minRevision: 0,
} as const;
const all = { start: '', end: undefined } as const;
const write = encodeCommand(command(put('big', 'v', ifRevision(9_999)), 1) as ClientCommand);

/** The worst of each kind that is well formed. */
const frames: { readonly [Kind in ClientFrame['kind']]: (requestId: number) => ClientFrame } = {
  hello: () => clientHello,
  write: (requestId) => ({ kind: 'write', requestId, timeoutMs: 1_000, command: write }),
  get: (requestId) => ({ kind: 'get', requestId, ...read, key: 'big' }),
  range: (requestId) => {
    const range = { ...all, limit: 10_000, reverse: true, keysOnly: false };
    return { kind: 'range', requestId, ...read, ...range };
  },
  count: (requestId) => ({ kind: 'count', requestId, ...read, ...all }),
  status: (requestId) => ({ kind: 'status', requestId, timeoutMs: 1_000 }),
  cancel: (requestId) => ({ kind: 'cancel', requestId }),
  ping: (requestId) => ({ kind: 'ping', requestId }),
  openStream: (requestId) => {
    const argument = new Uint8Array(0);
    return { kind: 'openStream', requestId, topic: 'held', argument, creditBytes: mebibyte };
  },
  streamCredit: (requestId) => ({ kind: 'streamCredit', requestId, bytes: 1 }),
  closeStream: (requestId) => ({ kind: 'closeStream', requestId }),
  raiseFormat: (requestId) => ({ kind: 'raiseFormat', requestId, timeoutMs: 1_000, level: 200 }),
};

const messages = 4;
const perMessage = 6_000;

/** A node with one large value that was written again, one small one, and a hostile and a plain client. */
function world() {
  const node = new HeavyWorld();
  const value = new Uint8Array(mebibyte);
  for (let sequence = 1; sequence <= 4; sequence++) {
    node.apply(command({ kind: 'put', key: 'big', value }, sequence));
  }
  node.apply(command(put('small', 'v'), 5));
  const door = new ClientsWorld({ requestsMax: 32_768 }, (caller, frame) =>
    node.requests.receive(caller, frame),
  );
  door.connect(1);
  door.connect(2);
  // Nothing of what the hostile one is sent leaves: it does not read.
  door.stuck.add(1);
  const turn = (): void => {
    node.turn();
    door.turn();
  };
  return { node, door, turn };
}

describe('thousands of frames in one message', () => {
  for (const [kind, frameOf] of Object.entries(frames)) {
    test(`of the kind ${kind} cost the node little, and others nothing`, () => {
      const { node, door, turn } = world();
      let requestId = 0;
      for (let message = 0; message < messages; message++) {
        door.say(1, ...Array.from({ length: perMessage }, () => frameOf(++requestId)));
      }
      door.say(2, { kind: 'get', requestId: 1, ...read, revision: 0, key: 'small' });
      const { bytesRead } = node.store;
      let turns = 0;
      for (; door.take(2).every(({ kind: answer }) => answer !== 'got'); turns++) {
        expect(turns).toBeLessThan(5);
        turn();
      }
      for (let more = 0; more < 100; more++) turn();
      // What the connection holds of answers is bounded too: a few large ones, and small ones for the rest.
      expect(door.buffered.get(1) ?? 0).toBeLessThan(8 * mebibyte);
      // Four at once, each with three newer versions on its way; a count brings nothing, and goes on in
      // pieces.
      const isLong = kind === 'count';
      if (!isLong) expect(node.store.bytesRead - bytesRead).toBeLessThan(20 * mebibyte);
      expect(node.store.bytesAtOnceMax).toBeLessThan(2 * mebibyte);
      expect(node.statusesMade).toBeLessThanOrEqual(turns + 100);
      expect(node.raises).toBeLessThanOrEqual(4);
      expect(node.machine.keptGroups).toBe(0);
    });
  }
});
