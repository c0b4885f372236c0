import { describe, expect, test } from 'vitest';
import { ClusterView } from '../../src/server/life/cluster-view.js';
import { FirstStart } from '../../src/server/life/forming.js';
import {
  outdatedBy,
  refuseFormation,
  refuseLevel,
  refusePeer,
  turnedAwayFor,
  type OwnIdentity,
} from '../../src/server/life/identity.js';
import { encodeFormation, type Formation } from '../../src/wire/commands/entry-codec.js';
import { ClusterSecret } from '../../src/server/peers/secret.js';
import type { PeerFormation, PeerHello, PeerRefusal } from '../../src/wire/peers/frames.js';
import { ownVersions } from '../../src/wire/versions.js';

const memberIds = ['n1', 'n2', 'n3'];
const instanceOf = (nodeId: string): string => nodeId.slice(1).repeat(32);
const own = (nodeId: string): OwnIdentity => ({
  nodeId,
  instanceId: instanceOf(nodeId),
  incarnation: 'f'.repeat(32),
  memberIds,
  formatLevelMax: ownVersions.formatLevelMax,
});
const formation: Formation = {
  clusterId: 'c'.repeat(32),
  members: memberIds.map((nodeId) => ({ nodeId, instanceId: instanceOf(nodeId), address: `${nodeId}:1` })),
  formatLevel: 1,
};

const secret = new ClusterSecret(new Uint8Array(32).fill(7));
const joined = { kind: 'join', membership: { formation, secret } };

function frameOf(told: Formation, formatLevel: number): PeerFormation {
  const bytes = encodeFormation(told);
  return { kind: 'formation', formation: bytes, secret: secret.forMember(), formatLevel, echoes: [] };
}

function hello(nodeId: string, change: Partial<PeerHello> = {}): PeerHello {
  return {
    kind: 'hello',
    ...ownVersions,
    nodeId,
    to: 'n1',
    nonce: new Uint8Array(32),
    instanceId: instanceOf(nodeId),
    memberIds,
    proof: undefined,
    ...change,
  };
}

function viewOf(nodeId: string): ClusterView {
  return new ClusterView(
    nodeId,
    memberIds.map((id) => ({ nodeId: id, address: `${id}:1` })),
  );
}

function forming(nodeId: string): FirstStart {
  return new FirstStart({
    own: own(nodeId),
    view: viewOf(nodeId),
    drawClusterId: () => 'c'.repeat(32),
    drawSecret: () => secret,
  });
}

describe('first start', () => {
  test('the smallest id forms only after every member said that it is empty', () => {
    const first = forming('n1');
    expect(first.begin().kind).toBe('wait');
    expect(first.heard(hello('n2')).kind).toBe('wait');
    expect(first.missing).toEqual(['n3']);
    expect(first.heard(hello('n2')).kind).toBe('wait');
    expect(first.heard(hello('n3'))).toEqual(joined);
  });

  test('a member wiped before the forming takes part with its newest instance', () => {
    const first = forming('n1');
    first.heard(hello('n2', { instanceId: 'a'.repeat(32) }));
    first.heard(hello('n2'));
    expect(first.heard(hello('n3'))).toEqual(joined);
  });

  test('the state begins with the lowest level that all of them know', () => {
    const first = new FirstStart({
      own: { ...own('n1'), formatLevelMax: 5 },
      view: viewOf('n1'),
      drawClusterId: () => 'c'.repeat(32),
      drawSecret: () => secret,
    });
    first.heard(hello('n2', { formatLevelMax: 2 }));
    // The process that answered last counts, here an upgraded one.
    first.heard(hello('n2', { formatLevelMax: 4 }));
    const step = first.heard(hello('n3', { formatLevelMax: 3 }));
    expect(step).toMatchObject({ kind: 'join', membership: { formation: { formatLevel: 3 } } });
  });

  test('a node that is too old for the cluster does not join it', () => {
    const raised = frameOf(formation, 2);
    const formedSo = frameOf({ ...formation, formatLevel: 2 }, 1);
    for (const told of [raised, formedSo]) {
      const step = forming('n2').told('n3', told);
      expect(step).toMatchObject({ kind: 'stop', error: { code: 'FORMAT' } });
      const words =
        'node n2 knows format levels up to 1, the store of node n3 is of level 2: upgrade node n2';
      expect(step.kind === 'stop' && step.error.message).toBe(words);
    }
  });

  test('who knows no level at all is not heard of', () => {
    const refusal = refusePeer(own('n1'), undefined, hello('n2', { formatLevelMax: 0 }));
    expect(refusal).toMatchObject({ code: 'FORMAT' });
    expect(refusal?.message).toContain('node n2 knows format levels up to 0');
    expect(refusePeer(own('n1'), undefined, hello('n2', { formatLevelMax: 1 }))).toBeUndefined();
  });

  test('no other id ever forms', () => {
    const second = forming('n2');
    expect(second.heard(hello('n1')).kind).toBe('wait');
    expect(second.heard(hello('n3')).kind).toBe('wait');
  });

  test('everyone joins what a formed node tells', () => {
    const step = forming('n2').told('n3', frameOf(formation, 1));
    expect(step).toMatchObject({ kind: 'join', membership: { formation } });
    const told = step.kind === 'join' ? step.membership.secret : expect.unreachable();
    expect(told.forRecord()).toBe(secret.forRecord());
  });

  test('an emptied member stops instead of voting under its old identity', () => {
    const emptied = new FirstStart({
      own: { ...own('n2'), instanceId: 'b'.repeat(32) },
      view: viewOf('n2'),
      drawClusterId: () => '',
      drawSecret: () => secret,
    });
    const step = emptied.told('n3', frameOf(formation, 1));
    expect(step.kind).toBe('stop');
    expect(step.kind === 'stop' && step.error.message).toMatch(/n2 was a member with other data/);
  });

  test('who is gone again is not counted: it may be part of a cluster when it comes back', () => {
    const first = forming('n1');
    first.heard(hello('n2'));
    first.gone('n2');
    expect(first.heard(hello('n3')).kind).toBe('wait');
    expect(first.missing).toEqual(['n2']);
    expect(first.heard(hello('n2'))).toEqual(joined);
  });

  test('what turns an empty node away stops it only for what it is itself', () => {
    const of = (code: PeerRefusal['code']): PeerRefusal => ({ kind: 'refusal', code, message: code });
    expect(turnedAwayFor(of('otherData'))).toMatchObject({ code: 'IDENTITY', message: 'otherData' });
    expect(turnedAwayFor(of('noMember'))).toMatchObject({ code: 'IDENTITY' });
    for (const code of ['PROTOCOL', 'IDENTITY', 'FORMAT'] as const)
      expect(turnedAwayFor(of(code))).toBeUndefined();
  });

  test('a cluster of one forms by itself', () => {
    const alone = new FirstStart({
      own: { ...own('n1'), memberIds: ['n1'] },
      view: new ClusterView('n1', [{ nodeId: 'n1', address: 'n1:1' }]),
      drawClusterId: () => 'c'.repeat(32),
      drawSecret: () => secret,
    });
    expect(alone.begin().kind).toBe('join');
  });
});

describe('format levels', () => {
  test('a peer below the level of the store is refused with who, which levels and what to do', () => {
    const { formatLevelMax } = ownVersions;
    expect(refuseLevel(own('n1'), formatLevelMax, hello('n2'))).toBeUndefined();
    const refusal = refuseLevel({ ...own('n1'), formatLevelMax: 3 }, 3, hello('n2', { formatLevelMax: 2 }));
    expect(refusal).toEqual({
      kind: 'refusal',
      code: 'FORMAT',
      message: 'node n2 knows format levels up to 2, the store of node n1 is of level 3: upgrade node n2',
    });
  });

  test('a node is outdated by a peer whose store is above its own software', () => {
    expect(outdatedBy(own('n1'), { nodeId: 'n2', formatLevel: 1 })).toBeUndefined();
    const error = outdatedBy(own('n1'), { nodeId: 'n2', formatLevel: 2 });
    expect(error).toMatchObject({ code: 'FORMAT', details: { formatLevel: 2, formatLevelMax: 1 } });
    expect(error?.message).toMatch(/: upgrade node n1$/);
  });
});

describe('identity', () => {
  const formed = { instanceId: undefined };

  test.each([
    [
      'a newer protocol',
      formation,
      hello('n2', { protocolMin: 90, protocolMax: 99 }),
      'PROTOCOL',
      /^node n2 speaks protocol versions 90 \.\. 99, node n1 \d+ \.\. \d+; upgrade node n1$/,
    ],
    [
      'an older protocol',
      formation,
      hello('n2', { protocolMin: 1, protocolMax: 2 }),
      'PROTOCOL',
      /^node n2 speaks protocol versions 1 \.\. 2, node n1 \d+ \.\. \d+; upgrade node n2$/,
    ],
    ['the own name', formation, hello('n1'), 'IDENTITY', /two nodes call themselves n1/],
    ['a stranger', formation, hello('n9', formed), 'noMember', /not a member/],
    ['an empty stranger', formation, hello('n9'), 'noMember', /not a member/],
    [
      'a known name with other data',
      formation,
      hello('n2', { instanceId: 'd'.repeat(32) }),
      'otherData',
      /other data/,
    ],
    ['a stranger while forming', undefined, hello('n9'), 'IDENTITY', /not in the cluster file/],
    [
      'another cluster file while forming',
      undefined,
      hello('n2', { memberIds: ['n1', 'n2'] }),
      'IDENTITY',
      /differ/,
    ],
  ] as const)('refuses %s', (_name, known, greeting, code, words) => {
    const refusal = refusePeer(own('n1'), known, greeting);
    expect(refusal?.code).toBe(code);
    expect(refusal?.message).toMatch(words);
    // Anybody may ask for it.
    for (const { instanceId } of formation.members) expect(refusal?.message).not.toContain(instanceId);
    expect(refusal?.message).not.toContain(formation.clusterId);
  });

  test('accepts a member, formed or still unformed, with the right data', () => {
    expect(refusePeer(own('n1'), formation, hello('n2', formed))).toBeUndefined();
    expect(refusePeer(own('n1'), formation, hello('n2'))).toBeUndefined();
    expect(refusePeer(own('n1'), undefined, hello('n2'))).toBeUndefined();
    expect(refusePeer(own('n1'), undefined, hello('n2', formed))).toBeUndefined();
  });

  test('a node left out of the formation says so', () => {
    const told = { nodeId: 'n2', formatLevel: 1 };
    const left = refuseFormation({ ...own('n1'), nodeId: 'n4' }, formation, told);
    expect(left?.message).toMatch(/formed without node n4/);
    expect(refuseFormation(own('n1'), formation, told)).toBeUndefined();
  });
});
