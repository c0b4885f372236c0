// What happens in a node is told as events: each kind is told by somebody, and the log is made from them.

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { pino } from 'pino';
import type { Logger } from '../../src/base/env.js';
import type { EventOf } from '../../src/server/events.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { nodeEventKinds, type KindByAnyone } from '../../src/server/operate/event-lines.js';
import { VirtualTime } from './snapshot-world.js';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** Where events are declared and read, not told. */
const declarations = ['events.ts', 'event-lines.ts', 'event-log.ts'];

function tellers(): string {
  return ['server', 'storage', 'transport']
    .flatMap((folder) =>
      readdirSync(`${source}${folder}`, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts') && !declarations.some((name) => path.endsWith(name)))
        .map((path) => readFileSync(`${source}${folder}/${path}`, 'utf8')),
    )
    .join('\n');
}

test('every kind of event is told by somebody', () => {
  const code = tellers();
  expect(nodeEventKinds.length).toBeGreaterThan(40);
  expect(nodeEventKinds.filter((kind) => !code.includes(`'${kind}'`))).toEqual([]);
  expect(code.includes("'nobodyTellsThis'")).toBe(false);
});

describe('the log', () => {
  interface Bench {
    readonly log: EventLog;
    readonly lines: [level: string, text: string, fields: object][];
    readonly time: VirtualTime;
  }

  function bench(): Bench {
    const lines: [string, string, object][] = [];
    const write =
      (level: string): Logger['info'] =>
      (fields, text) =>
        void lines.push([level, text, fields]);
    const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
    const time = new VirtualTime();
    const { clock, timers } = time;
    return { log: new EventLog({ logger, clock, timers }), lines, time };
  }

  test('has one line for each event, with its kind, its words and what it holds', () => {
    const { log, lines } = bench();
    log.write({ kind: 'peerReset', peer: 'n2' });
    log.write({ kind: 'leaderChanged', leaderId: undefined, term: 7, isLeader: false });
    log.write({ kind: 'peerLinkClosed', link: 4, code: 'PROTOCOL', message: 'a second hello' });
    expect(lines).toEqual([
      [
        'warn',
        'node n2 has lost what it acknowledged: its disk was damaged; it is supplied anew',
        { event: 'peerReset', peer: 'n2' },
      ],
      ['info', 'no leader', { event: 'leaderChanged', leaderId: null, term: 7 }],
      ['warn', 'peer link closed: a second hello', { event: 'peerLinkClosed', link: 4, code: 'PROTOCOL' }],
    ]);
  });

  test('sums up what comes again from one source, at the end of ten seconds', () => {
    const { log, lines, time } = bench();
    const begun = (peer: string, sendingId: number): void =>
      log.write({ kind: 'snapshotSendBegun', peer, sendingId });
    for (let i = 0; i < 12_346; i++) begun('n2', i);
    begun('n3', 0);
    const first = ['a snapshot is sent to node n2', 'a snapshot is sent to node n3'];
    expect(lines.map(([, text]) => text)).toEqual(first);
    time.run(9_999);
    begun('n2', 7);
    expect(lines).toHaveLength(2);
    time.run(1);
    expect(lines.slice(2)).toEqual([
      [
        'info',
        'a snapshot is sent to node n2; 12,346 more like this in the last 10 s',
        { event: 'snapshotSendBegun', peer: 'n2', sendingId: 7, omitted: 12_346 },
      ],
    ]);
    begun('n2', 8);
    expect(lines.at(-1)?.[1]).toBe('a snapshot is sent to node n2');
    time.run(60_000);
    expect(lines).toHaveLength(4);
  });

  test('lets a few lines pass of what has no source, and sums up the others', () => {
    const { log, lines, time } = bench();
    for (let term = 1; term <= 25; term++) {
      log.write({ kind: 'leaderChanged', leaderId: 'n2', term, isLeader: false });
    }
    log.write({ kind: 'diskHasRoom', freeBytes: 1 });
    expect(lines).toHaveLength(21);
    time.run(10_000);
    expect(lines.slice(21)).toEqual([
      [
        'info',
        'node n2 leads; 5 more like this in the last 10 s',
        { event: 'leaderChanged', leaderId: 'n2', term: 25, omitted: 5 },
      ],
    ]);
  });

  test('says at its end what was left out until then', () => {
    const { log, lines, time } = bench();
    for (let i = 0; i < 3; i++) log.write({ kind: 'snapshotSendBegun', peer: 'n2', sendingId: i });
    log.close();
    log.close();
    expect(lines.map(([, text]) => text)).toEqual([
      'a snapshot is sent to node n2',
      'a snapshot is sent to node n2; 2 more like this in the last 10 s',
    ]);
    time.run(60_000);
    expect(lines).toHaveLength(2);
  });

  test('tells a bounded number of sources apart, and sums up all others together', () => {
    const { log, lines, time } = bench();
    const begun = (peer: string): void => log.write({ kind: 'snapshotSendBegun', peer, sendingId: 1 });
    for (let i = 0; i < 100_000; i++) begun(`n${i}`);
    expect(lines).toHaveLength(257);
    time.run(10_000);
    expect(lines).toHaveLength(258);
    expect(lines.at(-1)?.[2]).toMatchObject({ omitted: 100_000 - 257 });
    begun('n0');
    begun('n99999');
    expect(lines).toHaveLength(260);
  });
});

describe('what strangers can cause in the log', () => {
  const words = 'x'.repeat(1_000);
  /** One event of each kind, as long as it can be made. */
  const worst: { readonly [K in KindByAnyone]: (i: number) => EventOf<K> } = {
    peerLinkClosed: (link) => ({ kind: 'peerLinkClosed', link, code: 'PROTOCOL', message: words }),
    httpRequestFailed: () => ({ kind: 'httpRequestFailed', path: words, error: words }),
    formatRaiseRefused: (level) => ({
      kind: 'formatRaiseRefused',
      level,
      code: 'UNSUPPORTED',
      reason: words,
    }),
  };

  test('stays below 20 kB a minute, however many links they open', () => {
    const time = new VirtualTime();
    const { clock, timers } = time;
    const lines: string[] = [];
    const sink = { write: (line: string) => void lines.push(line) };
    const log = new EventLog({
      logger: pino({ level: 'debug', base: { node: 'n'.repeat(64) } }, sink),
      clock,
      timers,
    });
    const minutes = 5;
    for (let second = 0; second < 60 * minutes; second++) {
      for (const make of Object.values(worst)) {
        for (let i = 0; i < 100; i++) log.write(make(2 ** 31 + second * 1_000 + i));
      }
      time.run(1_000);
    }
    const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
    expect(lines.length).toBeGreaterThan(minutes * Object.keys(worst).length);
    expect(bytes / minutes).toBeLessThan(20_000);
    // Nothing is lost of how often it happened.
    log.close();
    const told = lines.map((line) => (JSON.parse(line) as { omitted?: number }).omitted ?? 1);
    const all = 60 * minutes * 100 * Object.keys(worst).length;
    expect(told.reduce((sum, count) => sum + count, 0)).toBe(all);
  });
});
