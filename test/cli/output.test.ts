// What commands print: escapes that stand for exactly the bytes, JSON of any bytes, tables, log lines.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readableLogLine } from '../../src/cli/terminal/log-lines.js';
import { alignColumns, entryToJson, escapeBytes, formatBytes } from '../../src/cli/terminal/output.js';
import { bar } from '../../src/cli/terminal/progress.js';

/** The bytes that an escaped line stands for. */
function unescape(line: string): Buffer {
  const parts = line.match(/\\x[0-9a-f]{2}|\\.|[^\\]+/gu) ?? [];
  return Buffer.concat(
    parts.map((part) => {
      if (part.startsWith('\\x')) return Buffer.from(part.slice(2), 'hex');
      const plain = new Map([
        ['\\n', '\n'],
        ['\\r', '\r'],
        ['\\t', '\t'],
        ['\\\\', '\\'],
      ]);
      return Buffer.from(plain.get(part) ?? part);
    }),
  );
}

describe('escapeBytes', () => {
  test('stands for exactly the bytes, and holds no control character', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          const line = escapeBytes(bytes);
          expect(unescape(line).equals(Buffer.from(bytes))).toBe(true);
          expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
        },
      ),
    );
  });

  test('leaves readable text alone', () => {
    expect(escapeBytes(Buffer.from('users/42 Grüße 東京'))).toBe('users/42 Grüße 東京');
    expect(escapeBytes(Buffer.from('\u001b[2J'))).toBe('\\x1b[2J');
    expect(escapeBytes(Buffer.from([0x61, 0xff, 0x5c]))).toBe('a\\xff\\\\');
  });
});

describe('entryToJson', () => {
  const facts = { createRevision: 3, modRevision: 5, version: 2, leaseId: 0 };

  test('any bytes come back, as text where they are text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ maxLength: 50 }), (key, value) => {
        const json = JSON.parse(JSON.stringify(entryToJson({ key, value, ...facts }))) as Record<
          string,
          string
        >;
        const back = (name: string): Buffer =>
          json[name] === undefined
            ? Buffer.from(json[`${name}Base64`] ?? '', 'base64')
            : Buffer.from(json[name]);
        expect(back('key').equals(Buffer.from(key))).toBe(true);
        expect(back('value').equals(Buffer.from(value))).toBe(true);
      }),
    );
  });

  test('keys only: no value', () => {
    const entry = { key: Buffer.from('a'), value: new Uint8Array(), ...facts };
    expect(entryToJson(entry, true)).toEqual({ key: 'a', ...facts });
  });
});

describe('tables and figures', () => {
  test('columns align, figures to the right', () => {
    const rows = [
      ['node', 'term'],
      ['n1', '7'],
      ['n10', '12'],
    ];
    expect(alignColumns(rows, [1])).toEqual(['node  term', 'n1       7', 'n10     12']);
  });

  test('bytes as people read them', () => {
    expect([0, 999, 1_000, 12_345_678, 999_960_000, 5e9].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '12.3 MB',
      '1.0 GB',
      '5.0 GB',
    ]);
  });

  test('a bar from nothing to full, whatever the numbers', () => {
    expect(bar(0, 10, 4)).toBe('[....] 0 %');
    expect(bar(5, 10, 4)).toBe('[##..] 50 %');
    expect(bar(20, 10, 4)).toBe('[####] 100 %');
    expect(bar(0, 0, 4)).toBe('[####] 100 %');
  });
});

describe('readableLogLine', () => {
  test('structured lines become words, others stay', () => {
    const line = JSON.stringify({ level: 40, time: 1, pid: 2, hostname: 'h', msg: 'slow disk', ms: 80 });
    expect(readableLogLine(line)).toBe('warning: slow disk (ms 80)');
    expect(readableLogLine('{"broken')).toBe('{"broken');
    expect(readableLogLine('plain words')).toBe('plain words');
  });
});
