// The commands against a real cluster: what they print where, and their exit codes.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import {
  commandPath,
  endAll,
  onEnd,
  runCommand,
  runUntil,
  startCluster,
  startProgram,
  temporaryFolder,
  type CommandOptions,
  type CommandResult,
  type TestCluster,
} from './processes.js';

let shared: TestCluster;

beforeAll(async () => {
  shared = await startCluster();
});

afterAll(endAll);

function kvorum(parts: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const environment = { KVORUM_ENDPOINTS: shared.cluster.endpoints.join(','), ...options.environment };
  return runCommand(parts, { ...options, environment });
}

describe('put and get', () => {
  test('text: the revision, and the bare value', async () => {
    const put = await kvorum(['put', 'text', 'Grüße']);
    expect(put).toMatchObject({ code: 0, stderr: '' });
    expect(put.stdout).toMatch(/^revision \d+\n$/);
    const get = await kvorum(['get', 'text']);
    expect(Buffer.from(get.stdout, 'latin1').toString()).toBe('Grüße');
    expect(get).toMatchObject({ code: 0, stderr: '' });
  });

  test('every byte, through stdin and stdout', async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 256));
    expect((await kvorum(['put', 'bytes', '-'], { input: bytes })).code).toBe(0);
    const { stdout } = await kvorum(['get', 'bytes']);
    expect(Buffer.from(stdout, 'latin1').equals(bytes)).toBe(true);
    const json = JSON.parse((await kvorum(['get', 'bytes', '--json'])).stdout) as Record<string, unknown>;
    expect(Buffer.from(String(json['valueBase64']), 'base64').equals(bytes)).toBe(true);
    expect(json['value']).toBeUndefined();
  });

  test('an empty value is a value; a missing key is exit code 3', async () => {
    expect((await kvorum(['put', 'empty', ''])).code).toBe(0);
    expect(await kvorum(['get', 'empty'])).toMatchObject({ code: 0, stdout: '' });
    const missing = await kvorum(['get', 'no such key']);
    expect(missing).toMatchObject({ code: 3, stdout: '' });
    expect(missing.stderr).toContain('no such key');
  });

  test('a missing key with --json: a document of the same shape, and exit code 3', async () => {
    const { code, stdout, stderr } = await kvorum(['get', 'no such key', '--json']);
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      key: 'no such key',
      value: null,
      createRevision: 0,
      modRevision: 0,
      version: 0,
      leaseId: 0,
    });
  });

  test('--json: one document', async () => {
    const put = JSON.parse((await kvorum(['put', 'json', '1', '--json'])).stdout) as { revision: number };
    const get = JSON.parse((await kvorum(['get', 'json', '--json'])).stdout) as unknown;
    expect(get).toEqual({
      key: 'json',
      value: '1',
      createRevision: put.revision,
      modRevision: put.revision,
      version: 1,
      leaseId: 0,
    });
  });

  test('conditions: exit code 4, and what the key is now', async () => {
    expect((await kvorum(['put', 'once', '1', '--if-absent'])).code).toBe(0);
    const absent = await kvorum(['put', 'once', '2', '--if-absent']);
    expect(absent.code, absent.stderr).toBe(4);
    expect(absent.stderr).toContain('CONFLICT');
    const { modRevision } = JSON.parse((await kvorum(['get', 'once', '--json'])).stdout) as {
      modRevision: number;
    };
    expect((await kvorum(['put', 'once', '2', '--if-revision', String(modRevision + 1_000)])).code).toBe(4);
    expect((await kvorum(['put', 'once', '2', '--if-revision', String(modRevision)])).code).toBe(0);
    expect((await kvorum(['get', 'once'])).stdout).toBe('2');
  });

  test('--if-revision 0: only if the key does not exist, as its help says', async () => {
    expect((await kvorum(['put', 'first', '1', '--if-revision', '0'])).code).toBe(0);
    const again = await kvorum(['put', 'first', '2', '--if-revision', '0']);
    expect(again.code, again.stderr).toBe(4);
    expect(again.stderr).toContain('it should not exist');
    expect((await kvorum(['get', 'first'])).stdout).toBe('1');
    expect((await kvorum(['put', '--help'])).stdout.replace(/\s+/g, ' ')).toContain(
      '0: only if it does not exist',
    );
    expect((await kvorum(['put', 'first', '2', '--if-revision', '-1'])).code).toBe(2);
  });

  test('conditions with --json: the error says what the key is now, or that there is none', async () => {
    await shared.client.put('held', '1');
    const held = await kvorum(['put', 'held', '2', '--if-absent', '--json']);
    expect(held).toMatchObject({ code: 4, stdout: '' });
    expect(JSON.parse(held.stderr)).toMatchObject({
      error: { code: 'CONFLICT', outcome: 'none', current: { key: 'held', value: '1', version: 1 } },
    });
    const none = await kvorum(['put', 'no such key', '2', '--if-revision', '1', '--json']);
    expect(none.code).toBe(4);
    expect(JSON.parse(none.stderr)).toMatchObject({ error: { code: 'CONFLICT', current: null } });
  });
});

describe('range, count and delete', () => {
  beforeAll(async () => {
    for (const [key, value] of [
      ['r/a', 'one\ttab'],
      ['r/b', 'two\u001b[31m'],
      ['r/c', 'three'],
    ] as const) {
      await shared.client.put(key, value);
    }
    await shared.client.put(Buffer.from('722fff', 'hex'), 'not text');
  });

  test('lines with what is not printable escaped', async () => {
    const { stdout, code } = await kvorum(['range', '--prefix', 'r/']);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'r/a\tone\\ttab',
      'r/b\ttwo\\x1b[31m',
      'r/c\tthree',
      'r/\\xff\tnot text',
      '',
    ]);
  });

  test('--limit, --reverse, --keys-only, --start and --end', async () => {
    expect((await kvorum(['range', '--prefix', 'r/', '--keys-only', '--limit', '2'])).stdout).toBe(
      'r/a\nr/b\n',
    );
    expect(
      (await kvorum(['range', '--start', 'r/a', '--end', 'r/c', '--keys-only', '--reverse'])).stdout,
    ).toBe('r/b\nr/a\n');
  });

  test('--json: one line per record', async () => {
    const { stdout } = await kvorum(['range', '--prefix', 'r/', '--json']);
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.map((record) => record['key'] ?? record['keyBase64'])).toEqual([
      'r/a',
      'r/b',
      'r/c',
      'ci//',
    ]);
  });

  test('a reader that goes away ends it quietly', async () => {
    await Promise.all(
      Array.from({ length: 2_000 }, (_, index) => shared.client.put(`many/${index}`, 'x'.repeat(100))),
    );
    const line = `"${process.execPath}" "${commandPath}" range --prefix many/ | head -n 1`;
    const environment = { KVORUM_ENDPOINTS: shared.cluster.endpoints.join(',') };
    const result = await startProgram('bash', ['-o', 'pipefail', '-c', line], { environment }).result;
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  test('count and delete', async () => {
    for (const key of ['d/1', 'd/2', 'd/3', 'zz']) await shared.client.put(key, 'x');
    expect((await kvorum(['count', '--prefix', 'd/'])).stdout).toBe('3\n');
    expect((await kvorum(['delete', 'd/1'])).stdout).toMatch(/^deleted 1, revision \d+\n$/);
    expect(JSON.parse((await kvorum(['delete', '--prefix', 'd/', '--json'])).stdout)).toMatchObject({
      deleted: 2,
    });
    expect((await kvorum(['delete', 'd/1'])).stdout).toMatch(/^deleted 0/);
    expect((await kvorum(['delete', '--start', 'zz', '--end', 'zzz'])).stdout).toMatch(/^deleted 1/);
    expect(JSON.parse((await kvorum(['count', '--prefix', 'd/', '--json'])).stdout)).toEqual({ count: 0 });
  });
});

describe('status', () => {
  test('every node, for people and as JSON', async () => {
    const environment = { KVORUM_ENDPOINTS: shared.cluster.endpoints.join(',') };
    const areAllThere = ({ stdout }: CommandResult): boolean =>
      !/unreachable|"reachable": ?false/.test(stdout);
    const text = await runUntil(['status'], { environment }, areAllThere);
    expect(text.stderr).toBe('');
    for (const word of ['n1', 'n2', 'n3', 'leader', 'follower']) expect(text.stdout).toContain(word);
    const json = await runUntil(['status', '--json'], { environment }, areAllThere);
    const status = JSON.parse(json.stdout) as {
      clusterId: string;
      leader: string;
      term: number;
      nodes: Record<string, unknown>[];
    };
    expect(status.clusterId).toMatch(/^[0-9a-f]{32}$/);
    expect(status.nodes.map((node) => node['id'])).toEqual(['n1', 'n2', 'n3']);
    for (const name of [
      ...['id', 'address', 'role', 'reachable', 'pid', 'term', 'commitIndex', 'appliedIndex', 'revision'],
      ...[
        'stateHash',
        'stateHashIndex',
        'version',
        'dbBytes',
        'logBytes',
        'formatLevel',
        'formatLevelMax',
        'protocolMax',
      ],
    ]) {
      expect(status.nodes[0], name).toHaveProperty(name);
    }
  });

  test('from one node it knows the others', async () => {
    const one = shared.cluster.endpoints[1] ?? '';
    const { stdout } = await runUntil(['status', '--endpoints', one]);
    expect(stdout).toMatch(/n1.*\n.*n2.*\n.*n3/);
  });

  test('exit code 5 without a cluster', async () => {
    const [port] = await freePorts(1);
    const { code, stderr } = await kvorum(['status', '--endpoints', `127.0.0.1:${port}`, '--timeout', '2s']);
    expect(code, stderr).toBe(5);
  });
});

describe('upgrade', () => {
  test('has nothing to do where every node knows no more, and shows the levels', async () => {
    const { stdout, code } = await kvorum(['upgrade']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/knows up to/);
    expect(stdout).toMatch(/the cluster is at format level 1, the highest that all of its nodes know\n$/);
    const json = await kvorum(['upgrade', '--json']);
    expect(JSON.parse(json.stdout)).toEqual({ formatLevel: 1, raised: false });
  });
});

describe('wrong input', () => {
  test.each([
    ['no command', []],
    ['an unknown command', ['putt', 'a', 'b']],
    ['a missing argument', ['put', 'a']],
    ['an argument too many', ['get', 'a', 'b']],
    ['an unknown option', ['get', 'a', '--fast']],
    ['a wrong endpoint', ['get', 'a', '--endpoints', 'localhost']],
    ['a wrong time', ['get', 'a', '--timeout', 'soon']],
    ['a wrong number', ['range', '--limit', '0']],
    ['both conditions', ['put', 'a', 'b', '--if-absent', '--if-revision', '3']],
    ['a delete of nothing', ['delete']],
    ['a delete of two things', ['delete', 'a', '--prefix', 'b']],
    ['a prefix and a start', ['range', '--prefix', 'a', '--start', 'b']],
    ['an empty key', ['put', '', 'b']],
  ])('%s: exit code 2, words on stderr, nothing on stdout', async (_name, parts) => {
    const { code, stdout, stderr } = await kvorum(parts);
    expect(code, stderr).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
    expect(stderr).not.toContain('    at ');
  });

  test('a key or a value over its limit, which the message names', async () => {
    const key = await kvorum(['put', 'k'.repeat(4_097), 'v']);
    expect(key.code, key.stderr).toBe(2);
    expect(key.stderr).toMatch(/TOO_LARGE.*4[,.]?096/);
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'value'), 'x');
    const value = await kvorum(['put', 'k', '-'], { input: Buffer.alloc(1_048_577) });
    expect(value.code, value.stderr).toBe(2);
    expect(value.stderr).toMatch(/TOO_LARGE.*1[,.]?048[,.]?576/);
  });

  test('a delete of an empty prefix: what to give instead, in the words of the command line', async () => {
    await shared.client.put('kept', '1');
    const { code, stdout, stderr } = await kvorum(['delete', '--prefix', '']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain("--prefix must not be empty; to delete every key give --start ''");
    expect((await kvorum(['get', 'kept'])).stdout).toBe('1');
  });

  test('a port that cannot be: the message names the limit', async () => {
    const { code, stderr } = await kvorum(['get', 'a', '--endpoints', '127.0.0.1:99999']);
    expect(code, stderr).toBe(2);
    expect(stderr).toContain('"127.0.0.1:99999" is not host:port with a port from 1 to 65535');
  });

  test('no cluster: exit code 5 after the time, as JSON if asked', async () => {
    const [port] = await freePorts(1);
    const where = ['--endpoints', `127.0.0.1:${port}`, '--timeout', '2s'];
    const { code, stderr } = await kvorum(['get', 'a', '--json', ...where]);
    expect(code, stderr).toBe(5);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'UNAVAILABLE', retryable: true, outcome: 'none' },
    });
  });

  test('help and version: exit code 0', async () => {
    expect((await kvorum(['--help'])).stdout).toContain('Usage: kvorum');
    expect((await kvorum(['put', '--help'])).code).toBe(0);
    expect((await kvorum(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('no colours where NO_COLOR is set or stderr is no terminal', async () => {
    const plain = await kvorum(['put', '', 'x'], { environment: { NO_COLOR: '1' } });
    expect(plain.stderr).not.toContain('\u001b');
    const forced = await kvorum(['put', '', 'x'], { environment: { FORCE_COLOR: '1' } });
    expect(forced.stderr).toContain('\u001b[31m');
  });
});

describe('bench', () => {
  test('gives up after its time when nobody answers, and says so', async () => {
    const [port] = await freePorts(1);
    const where = ['--endpoints', `127.0.0.1:${port}`, '--timeout', '2s'];
    const { code, stdout, stderr } = await kvorum(['bench', ...where]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    expect(stderr).toMatch(/error UNAVAILABLE: no request was answered for 2 s while .*ECONNREFUSED/);
  });

  test('measures a given cluster and prints one JSON document', async () => {
    const short = [
      '--keys',
      '200',
      '--clients',
      '1,8',
      '--total',
      '100',
      '--warm-up',
      '1',
      '--ops',
      'put,get',
    ];
    const endpoints = shared.cluster.endpoints.join(',');
    const { code, stdout, stderr } = await kvorum(['bench', '--json', '--endpoints', endpoints, ...short]);
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout) as {
      results: { operation: string; operations: number; failed: number }[];
    };
    expect(report.results).toHaveLength(4);
    for (const result of report.results) expect(result).toMatchObject({ operations: 100, failed: 0 });
    await shared.client.delete({ prefix: 'bench/' });
  });

  test('starts a cluster of its own and leaves nothing', async () => {
    const folder = temporaryFolder();
    const short = ['--keys', '100', '--clients', '4', '--total', '100', '--warm-up', '1', '--ops', 'stale'];
    const { code, stdout, stderr } = await kvorum(['bench', '--data-dir', folder, ...short]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/stale +4 +\d+/);
    const left = startProgram('ls', ['-A', folder]);
    onEnd(() => left.child.kill('SIGKILL'));
    expect((await left.result).stdout).toBe('');
  });
});
