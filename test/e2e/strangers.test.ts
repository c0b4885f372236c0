// A stranger at the peer port of a running cluster, over real sockets: it learns nothing, changes nothing and
// keeps nobody from writing. It sends the frames of members, with everything in them but a proof.

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import WebSocket from 'ws';
import { freePorts, LocalCluster, type LocalNode } from '../../src/cli/local-cluster.js';
import type { Message } from '../../src/raft/messages.js';
import { encodeEntryPayload } from '../../src/wire/commands/entry-codec.js';
import { encodePeerFrames } from '../../src/wire/peers/codec.js';
import type { PeerFrame, PeerHello } from '../../src/wire/peers/frames.js';
import { ownVersions } from '../../src/wire/versions.js';
import { until } from '../waiting.js';
import { agreedStatus, connectTo, endAll, onEnd, temporaryFolder, untilWhole } from './processes.js';

afterEach(endAll);

const ids = ['n1', 'n2', 'n3'] as const;

function helloOf(nodeId: string, to: string, change: Partial<PeerHello> = {}): PeerHello {
  const nonce = new Uint8Array(32).fill(1);
  const nothing = { instanceId: undefined, memberIds: [], proof: undefined };
  return { kind: 'hello', ...ownVersions, nodeId, to, nonce, ...nothing, ...change };
}

/** Sends the messages, one after the other, and gives all that came back once the node has closed. */
async function visit(address: string, messages: readonly (readonly PeerFrame[])[]): Promise<string> {
  const socket = new WebSocket(`ws://${address}/raft`);
  const heard: Buffer[] = [];
  let isOver = false;
  socket.on('message', (data: Buffer) => void heard.push(data));
  socket.on('error', () => undefined);
  socket.on('close', (_code, reason) => {
    heard.push(reason);
    isOver = true;
  });
  socket.on('open', () => {
    for (const frames of messages) socket.send(encodePeerFrames(frames));
  });
  await until(() => isOver, 'the node to close');
  const all = Buffer.concat(heard);
  return `${all.toString('latin1')} ${all.toString('hex')}`;
}

/** What only members may know; the secret first. */
function secretsIn(directory: string): string[] {
  const record = JSON.parse(readFileSync(join(directory, 'cluster.json'), 'utf8')) as {
    secret: string;
    formation: { clusterId: string; members: { instanceId: string }[] };
  };
  const { secret, formation } = record;
  return [secret, formation.clusterId, ...formation.members.map(({ instanceId }) => instanceId)];
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => statSync(path).isFile());
}

test('a stranger at the port of members learns nothing, changes nothing and disturbs nobody', async () => {
  let output = '';
  const onLine = (_nodeId: string, line: string): void => void (output += `${line}\n`);
  const cluster = new LocalCluster({
    directory: temporaryFolder(),
    ports: await freePorts(3),
    logLevel: 'debug',
    onLine,
  });
  onEnd(() => cluster.stopAll());
  cluster.startAll();
  const client = await connectTo(cluster.endpoints);
  await untilWhole(cluster, client);
  const nodes = Object.fromEntries(cluster.nodes.map((node) => [node.id, node]));
  const nodeOf = (id: string): LocalNode => nodes[id] ?? expect.unreachable();
  const before = await agreedStatus(client);
  const term = Math.max(...before.nodes.map((node) => node.term ?? 0));
  const secrets = secretsIn(nodeOf('n1').dataDirectory);
  const [secret = ''] = secrets;
  const poison = encodeEntryPayload({ clusterTimeMs: 5, wallTimeMs: 5 }, 1, [Uint8Array.of(0xc1)]);
  const told: string[] = [];
  const visits: Promise<void>[] = [];
  for (let round = 0; round < 10; round++) {
    for (const to of ids) {
      const from = to === 'n1' ? 'n2' : 'n1';
      const envelope = { from, to, term: term + 1 };
      const messages: Message[] = [
        { kind: 'requestVote', ...envelope, lastLogIndex: 9e9, lastLogTerm: term, leadershipTransfer: true },
        { kind: 'requestVoteResult', ...envelope, term: 2 ** 50, voteGranted: false, refusal: undefined },
        { kind: 'heartbeat', ...envelope, leaderCommit: 0, round: 1 },
        {
          kind: 'appendEntries',
          ...envelope,
          prevLogIndex: 1,
          prevLogTerm: 1,
          leaderCommit: 2,
          entries: [{ index: 2, term, kind: 'command', payload: poison }],
        },
      ];
      const frames = messages.map((message): PeerFrame => ({ kind: 'raft', message }));
      const empty = { instanceId: '0'.repeat(32), memberIds: ids };
      const claim = { incarnation: '1'.repeat(32), formatLevel: 1, currentTerm: 2 ** 45, catchingUp: true };
      const proof: PeerFrame = { kind: 'proof', ...claim, proof: new Uint8Array(32) };
      for (const sent of [
        [frames],
        [[helloOf(from, to), ...frames]],
        [[helloOf(from, to)], frames],
        [[helloOf(from, to)], [proof], frames],
        [[helloOf(from, to, empty)]],
        [[helloOf('n9', to)]],
      ]) {
        visits.push(visit(nodeOf(to).address, sent).then((words) => void told.push(words)));
      }
    }
    await client.put('key', String(round));
  }
  await Promise.all(visits);
  expect(told).toHaveLength(180);
  for (const words of told) for (const known of secrets) expect(words).not.toContain(known);
  const after = await agreedStatus(client);
  expect(after.nodes.map((node) => node.term)).toEqual(before.nodes.map((node) => node.term));
  expect((await client.get('key'))?.text()).toBe('9');
  // The secret is in the formation record of each member, and nowhere else: no log, store or output has it.
  for (const id of ids) {
    for (const path of filesBelow(nodeOf(id).dataDirectory)) {
      const bytes = readFileSync(path);
      const has = bytes.includes(secret) || bytes.includes(Buffer.from(secret, 'hex'));
      expect(has, path).toBe(path.endsWith('cluster.json'));
    }
  }
  expect(output).toContain('peer link closed');
  expect(output).not.toContain(secret);
});
