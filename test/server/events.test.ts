// What happens in a node is told as events: each kind is told by somebody, and the log is made from them.

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Logger } from '../../src/base/env.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { nodeEventKinds } from '../../src/server/operate/event-lines.js';

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
  function bench(): { log: EventLog; lines: [level: string, text: string, fields: object][]; ms: number } {
    const lines: [string, string, object][] = [];
    const write =
      (level: string): Logger['info'] =>
      (fields, text) =>
        void lines.push([level, text, fields]);
    const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
    const state = { ms: 0, lines };
    const log = new EventLog(logger, { nowMs: () => state.ms, wallMs: () => 0 });
    return Object.assign(state, { log });
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

  test('leaves out what comes again within ten seconds, for each peer, and says how often', () => {
    const state = bench();
    const { log, lines } = state;
    const begun = (peer: string): void => log.write({ kind: 'snapshotSendBegun', peer, sendingId: 1 });
    for (let i = 0; i < 5; i++) begun('n2');
    begun('n3');
    expect(lines.map(([, text]) => text)).toEqual([
      'a snapshot is sent to node n2',
      'a snapshot is sent to node n3',
    ]);
    state.ms = 9_999;
    begun('n2');
    expect(lines).toHaveLength(2);
    state.ms = 10_000;
    begun('n2');
    expect(lines.at(-1)).toEqual([
      'info',
      'a snapshot is sent to node n2 (and 5 more times since)',
      { event: 'snapshotSendBegun', peer: 'n2', sendingId: 1, omitted: 5 },
    ]);
  });

  test('remembers a bounded number of lines that may come again', () => {
    const { log, lines } = bench();
    const begun = (peer: string): void => log.write({ kind: 'snapshotSendBegun', peer, sendingId: 1 });
    for (let i = 0; i <= 256; i++) begun(`n${i}`);
    begun('n1');
    expect(lines).toHaveLength(257);
    begun('n0');
    expect(lines).toHaveLength(258);
  });
});
