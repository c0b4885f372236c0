// Parsing of the shared options, exit codes, and the choice of ports of `dev`.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { choosePorts } from '../../src/cli/commands/dev.js';
import { exitCodeOf, UsageError } from '../../src/cli/terminal/exit-codes.js';
import { errorOf } from '../../src/client/engine/verdict.js';
import {
  integerListParser,
  integerParser,
  parseConsistency,
  parseDuration,
  parseEndpoints,
} from '../../src/cli/terminal/options.js';
import { createProgram } from '../../src/cli/main.js';
import { judge, statusLines } from '../../src/cli/commands/status.js';
import type { ClusterStatus, NodeReport } from '../../src/client/index.js';
import { errorCodes, KvorumError, type ErrorCode } from '../../src/base/errors.js';

describe('parsing', () => {
  test('endpoints', () => {
    expect(parseEndpoints('a:1, b.example:7401,[::1]:65535')).toEqual([
      'a:1',
      'b.example:7401',
      '[::1]:65535',
    ]);
    for (const wrong of ['', ',', 'a', 'a:', 'a:0', 'a:65536', 'a:1:2', 'http://a:1', 'a b:1', '::1:80']) {
      expect(() => parseEndpoints(wrong), wrong).toThrow();
    }
    for (const wrong of ['127.0.0.1:99999', '127.0.0.1:0', '127.0.0.1:100000']) {
      expect(() => parseEndpoints(wrong)).toThrow(
        `"${wrong}" is not host:port with a port from 1 to 65535, for example 127.0.0.1:7401.`,
      );
    }
  });

  test('times', () => {
    expect(['250', '250ms', '2.5s', '1m'].map(parseDuration)).toEqual([250, 250, 2_500, 60_000]);
    for (const wrong of ['', '0', '0.4', '-1', '1h', '1e3', 's', '5 s', '99999999999', 'NaN']) {
      expect(() => parseDuration(wrong), wrong).toThrow();
    }
  });

  test('the help of every command with a time says its unit', () => {
    const options = createProgram().commands.flatMap((command) =>
      command.options.map((option) => [command.name(), option] as const),
    );
    const times = options.filter(([, option]) => option.flags === '--timeout <time>');
    expect(times.map(([name]) => name)).toEqual([
      'put',
      'get',
      'delete',
      'range',
      'count',
      'status',
      'upgrade',
      'bench',
    ]);
    for (const [name, option] of times) {
      expect(option.description, name).toContain('ms, s or m');
      expect(option.description, name).toContain('milliseconds');
    }
    // Any other option that takes a time names its unit itself.
    expect(options.filter(([, { flags }]) => /<time>|<duration>/.test(flags))).toHaveLength(times.length);
  });

  test('whole numbers', () => {
    expect(integerParser(1)('12')).toBe(12);
    for (const wrong of ['0', '-1', '1.5', '1e3', '', 'x', '9007199254740993']) {
      expect(() => integerParser(1)(wrong), wrong).toThrow('at least 1');
    }
    expect(() => integerParser(1, 7)('8')).toThrow('from 1 to 7');
    expect(integerListParser(1, 10)('1, 5,10')).toEqual([1, 5, 10]);
  });

  test('levels of consistency', () => {
    expect(parseConsistency('serializable')).toBe('serializable');
    expect(parseConsistency('2s')).toEqual({ maxStalenessMs: 2_000 });
    expect(() => parseConsistency('eventual')).toThrow();
  });
});

describe('exit codes', () => {
  test('of every error code', () => {
    const codes = (Object.keys(errorCodes) as ErrorCode[]).map((code) => [
      code,
      exitCodeOf(new KvorumError(code, 'x')),
    ]);
    expect(Object.fromEntries(codes)).toEqual({
      UNAVAILABLE: 5,
      TIMEOUT: 6,
      ABORTED: 130,
      CLOSED: 1,
      OVERLOADED: 5,
      NOT_LEADER: 5,
      CONFLICT: 4,
      INVALID_ARGUMENT: 2,
      TOO_LARGE: 2,
      NO_SPACE: 5,
      SESSION_EXPIRED: 1,
      STALE: 1,
      SESSION_LIMIT: 5,
      COMPACTED: 1,
      FUTURE_REVISION: 1,
      PROTOCOL: 1,
      UNSUPPORTED: 1,
      FORMAT: 1,
      IDENTITY: 1,
      CORRUPT: 1,
      DIVERGED: 1,
      DISK: 1,
      CONFIG: 2,
      INTERNAL: 1,
    });
  });

  test('do not depend on what is known about the outcome, nor on knowing the code', () => {
    expect(exitCodeOf(new KvorumError('UNAVAILABLE', 'x', { outcome: 'unknown' }))).toBe(5);
    expect(exitCodeOf(errorOf('OF_A_NEWER_SERVER', 'x', 'none'))).toBe(1);
  });

  test('of a wrong command line and of a bug', () => {
    expect(exitCodeOf(new UsageError('x'))).toBe(2);
    expect(exitCodeOf(new Error('x'))).toBe(1);
    expect(exitCodeOf(undefined)).toBe(1);
  });
});

describe('judge', () => {
  const node = (reachable: boolean, role?: string): NodeReport =>
    ({
      id: 'n',
      address: 'a:1',
      reachable,
      ...(role === undefined ? {} : { role }),
    }) as NodeReport;
  const status = (...nodes: NodeReport[]): ClusterStatus => ({ nodes, term: 1 }) as unknown as ClusterStatus;

  test('serving needs a majority and a leader', () => {
    expect(judge(status(node(true, 'leader'), node(true, 'follower'), node(false))).serving).toBe(true);
    expect(judge(status(node(true, 'leader'), node(false), node(false)))).toMatchObject({ serving: false });
    expect(judge(status(node(true, 'follower'), node(true, 'follower'), node(false))).words).toContain(
      'no leader',
    );
    expect(judge(status(node(true, 'leader'))).serving).toBe(true);
  });
});

describe('the lines of a status', () => {
  test('name an unreachable node once', () => {
    const gone = { reachable: false, reason: 'a:1 is not reachable: refused' };
    const nodes = [
      { ...gone, id: 'a:1', address: 'a:1' },
      { ...gone, id: 'n1', address: 'a:1' },
    ] as unknown as NodeReport[];
    expect(statusLines({ nodes, term: 0 } as unknown as ClusterStatus).slice(-2)).toEqual([
      'a:1 is not reachable: refused',
      'n1: a:1 is not reachable: refused',
    ]);
  });
});

describe('the ports of dev', () => {
  const folders: string[] = [];
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'kvorum-test-'));
    folders.push(path);
    return path;
  };
  afterEach(() => folders.splice(0).forEach((path) => rmSync(path, { recursive: true })));

  const save = (path: string, ports: number[], withData: boolean): void => {
    const members = ports.map((port, index) => ({ id: `n${index + 1}`, address: `127.0.0.1:${port}` }));
    writeFileSync(join(path, 'cluster.json'), JSON.stringify({ members }));
    if (withData) mkdirSync(join(path, 'n1'));
  };

  test('by default, by flags, by what the folder holds', () => {
    expect(choosePorts({ dataDir: folder() })).toEqual([7401, 7402, 7403]);
    expect(choosePorts({ dataDir: folder(), nodes: 1, port: 9000 })).toEqual([9000]);
    const used = folder();
    save(used, [8001, 8002, 8003, 8004, 8005], true);
    expect(choosePorts({ dataDir: used })).toEqual([8001, 8002, 8003, 8004, 8005]);
    expect(choosePorts({ dataDir: used, nodes: 5, port: 8001 })).toHaveLength(5);
    expect(() => choosePorts({ dataDir: used, nodes: 3 })).toThrow(UsageError);
    expect(() => choosePorts({ dataDir: used, port: 7401 })).toThrow(UsageError);
    const unused = folder();
    save(unused, [8001], false);
    expect(choosePorts({ dataDir: unused, nodes: 3 })).toEqual([7401, 7402, 7403]);
  });

  test('a file that dev did not write is left alone', () => {
    for (const content of ['', 'null', '{}', '{"members":[]}', '{"members":[{"id":"a","address":"x:1"}]}']) {
      const path = folder();
      writeFileSync(join(path, 'cluster.json'), content);
      expect(() => choosePorts({ dataDir: path }), content).toThrow('another --data-dir');
    }
  });

  test('no room below 65536', () => {
    expect(() => choosePorts({ dataDir: folder(), port: 65_534 })).toThrow(UsageError);
  });
});
