import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { loadClusterFile, parseClusterConfig } from '../../src/server/cluster-file.js';
import { defaultNodeConfig } from '../../src/server/node-config.js';

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
    [
      'a port out of range',
      { members: [{ id: 'a', address: 'h:70000' }] },
      /members\.0\.address: port 70000/,
    ],
    ['an id twice', { members: [...members, { id: 'n1', address: 'h:1' }] }, /members\.2\.id.*members\.0/],
    [
      'an address twice',
      { members: [...members, { id: 'n3', address: '127.0.0.1:7401' }] },
      /members\.2\.address/,
    ],
    ['an unknown field', { members, colour: 1 }, /colour/],
    ['an unknown number', { members, raft: { heartBeat: 1 } }, /raft.*heartBeat/],
    ['a number out of bounds', { members, raft: { heartbeatIntervalMs: 200 } }, /raft\.heartbeatIntervalMs/],
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

  test('a file that is missing or not JSON is named', () => {
    expect(() => loadClusterFile('/nonexistent/cluster.json')).toThrow(/\/nonexistent\/cluster\.json/);
    expect(() => loadClusterFile('README.md')).toThrow(/README\.md.*JSON|cannot read/);
  });
});
