import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { loadClusterFile, parseClusterConfig } from '../../src/server/config/cluster-file.js';
import { nodeIds } from '../wire/node-ids.js';
import { defaultNodeConfig } from '../../src/server/config/node-config.js';

const members = [
  { id: 'n1', address: '127.0.0.1:7401' },
  { id: 'n2', address: '127.0.0.1:7402' },
];

function messageOf(json: unknown): string {
  try {
    parseClusterConfig(json, 'test.json');
  } catch (error) {
    if (KvorumError.is(error, 'CONFIG')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('the id of a member', () => {
  const withId = (id: string): unknown => ({ members: [{ id, address: 'h:1' }] });

  test.each(nodeIds.good)('may be %s', (id) => {
    expect(messageOf(withId(id))).toBe('accepted');
  });

  test.each(nodeIds.bad)('may not be %j, and the rule is named', (id) => {
    expect(messageOf(withId(id))).toMatch(/members\.0\.id must be 1 to 64 letters, digits/);
  });
});

describe('cluster file', () => {
  test('the example is valid', () => {
    expect(loadClusterFile('cluster.example.json').members.length).toBe(3);
  });

  test('defaults and single overrides', () => {
    const config = parseClusterConfig({ members, raft: { heartbeatIntervalMs: 20 } }, 'test.json');
    expect(config.members).toEqual(members.map(({ id, address }) => ({ nodeId: id, address })));
    expect(config.node).toEqual({
      ...defaultNodeConfig,
      raft: { ...defaultNodeConfig.raft, heartbeatIntervalMs: 20 },
    });
  });

  test.each([
    ['no members', {}, /test\.json: members/],
    ['an empty list', { members: [] }, /members/],
    ['a bad id', { members: [{ id: 'a b', address: 'h:1' }] }, /members\.0\.id/],
    ['an address without port', { members: [{ id: 'a', address: 'h' }] }, /members\.0\.address/],
    ['a bad place to bind', { members: [{ id: 'a', address: 'h:1', listen: '*' }] }, /members\.0\.listen/],
    [
      'a port out of range',
      { members: [{ id: 'a', address: 'h:70000' }] },
      /members\.0\.address must have a port .*70000/,
    ],
    ['an id twice', { members: [...members, { id: 'n1', address: 'h:1' }] }, /members\.2\.id.*members\.0/],
    [
      'an address twice',
      { members: [...members, { id: 'n3', address: '127.0.0.1:7401' }] },
      /members\.2\.address/,
    ],
    ['an unknown field', { members, colour: 1 }, /colour/],
    ['an unknown number', { members, raft: { heartBeat: 1 } }, /raft.*heartBeat/],
    ['a number out of bounds', { members, raft: { heartbeatIntervalMs: 400 } }, /raft\.heartbeatIntervalMs/],
    [
      'entries that no peer takes',
      { members, raft: { appendEntriesMax: 10_001 } },
      /appendEntriesMax.*10,000/,
    ],
    ['half an entry', { members, raft: { appendEntriesMax: 1.5 } }, /raft\.appendEntriesMax.*whole number/],
    ['appends over a message', { members, raft: { appendBytesMax: 4e6 } }, /raft\.appendBytesMax/],
    ['elections that never come', { members, raft: { electionTimeoutMsMax: 1e12 } }, /electionTimeoutMsMax/],
    [
      'a link that is down for long',
      { members, raft: { linkDownElectionMsMax: 60_001 } },
      /linkDownElection/,
    ],
    ['half a read', { members, limits: { pendingReadsMax: 1.5 } }, /limits\.pendingReadsMax.*whole/],
    ['text for a number', { members, wal: { segmentBytes: '1' } }, /wal\.segmentBytes/],
    ['a log of no entries', { members, snapshot: { logEntriesMax: 0.5 } }, /snapshot\.logEntriesMax/],
    ['a log of too few bytes', { members, snapshot: { logBytesMax: 65_535 } }, /snapshot\.logBytesMax/],
    ['chunks that are too large', { members, snapshot: { chunkBytes: 2_000_000 } }, /snapshot\.chunkBytes/],
    ['a quota below four segments', { members, wal: { quotaBytes: 1_000_000 } }, /wal\.quotaBytes/],
    [
      'eight members',
      { members: Array.from({ length: 8 }, (_, i) => ({ id: `m${i}`, address: `h:${i + 1}` })) },
      /members/,
    ],
  ])('names the field: %s', (_name, json, words) => {
    expect(messageOf(json)).toMatch(words);
  });

  test.each([
    [{}, 'test.json: members is missing: it must be an array'],
    [[1], 'test.json: the file must be an object, not an array'],
    [null, 'test.json: the file must be an object, not null'],
    [{ members: [{ id: 'n1' }] }, 'test.json: members.0.address is missing: it must be a string'],
    [{ members: [{ id: 5, address: 'h:1' }] }, 'test.json: members.0.id must be a string, not a number'],
    [{ members: [{ id: 'a', address: 'h' }] }, 'test.json: members.0.address must be host:port'],
    [{ members: [] }, 'test.json: members must have at least 1 entry'],
    [
      { members, raft: { heartbeatIntervalMs: 'a' } },
      'raft.heartbeatIntervalMs must be a number, not a string',
    ],
    [{ members, wal: { segmentBytes: -1 } }, 'test.json: wal.segmentBytes must be above 0'],
    [{ members, raft: 5 }, 'test.json: raft must be an object, not a number'],
    [
      { members, colour: 1, size: 2 },
      'test.json: the file has no field "colour", "size"; ' +
        'the fields are members, raft, wal, limits, store, snapshot',
    ],
    [
      { members: [{ id: 'a', address: 'h:1', port: 1 }] },
      'test.json: members.0 has no field "port"; the fields are id, address',
    ],
    [
      { members, raft: { heartBeat: 1 } },
      'test.json: raft has no field "heartBeat"; ' +
        `the fields are ${Object.keys(defaultNodeConfig.raft).join(', ')}`,
    ],
  ])('says in a sentence what is wrong and what belongs there: %j', (json, words) => {
    expect(messageOf(json)).toContain(words);
  });

  test('at most seven members', () => {
    const eight = Array.from({ length: 8 }, (_, i) => ({ id: `m${i}`, address: `h:${i + 1}` }));
    expect(messageOf({ members: eight })).toContain('members must have at most 7 entries');
  });

  test('a file that is missing or not JSON is named', () => {
    expect(() => loadClusterFile('/nonexistent/cluster.json')).toThrow(/\/nonexistent\/cluster\.json/);
    expect(() => loadClusterFile('README.md')).toThrow(/README\.md.*JSON|cannot read/);
  });
});
