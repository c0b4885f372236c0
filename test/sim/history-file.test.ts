// The history file format: what is written is read back, and what is not sound is refused with its line.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { KvorumError } from '../../src/base/errors.js';
import { formatHistory, parseHistory, type HistoryOperation } from '../../src/sim/history/file.js';
import { honestHistory } from './linearizability-model.js';

const good = '{"c":"c1","op":"put","k":"x","v":"a","call":1,"ret":2,"out":{"st":"ok","rev":1,"ver":1}}';

/** The line above with other fields; `undefined` leaves one out. */
function line(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...(JSON.parse(good) as object), ...fields });
}

function refusal(...lines: readonly string[]): KvorumError {
  try {
    parseHistory(lines.join('\n'));
  } catch (error) {
    if (KvorumError.is(error, 'INVALID_ARGUMENT')) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('what is written is read back', () => {
  it('histories of every kind', () => {
    const options = { operations: 500, keys: 3, clients: 5, unknown: 0.1 };
    const operations = honestHistory(new Prng(9), { ...options, gets: 0.3, deletes: 0.2, swaps: 0.3 });
    operations.push({
      ...{ c: 't', op: 'txn', k: 'a,b', keys: ['a', 'b'], call: 1, ret: null },
      out: { st: 'unknown' },
    });
    expect(parseHistory(formatHistory(operations))).toEqual(operations);
  });

  it('any text as client, key and value', () => {
    const text = fc.string({ unit: 'binary', maxLength: 20 });
    const operation = fc.record({ c: fc.string({ minLength: 1, maxLength: 9 }), k: text, v: text });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 8 }), (fields) => {
        const operations = fields.map((field, i): HistoryOperation => ({
          ...field,
          ...{ op: 'put', call: 2 * i, ret: 2 * i + 1 },
          out: { st: 'ok' },
        }));
        expect(parseHistory(formatHistory(operations))).toEqual(operations);
      }),
    );
  });

  it('empty lines, line ends of all systems, fields without a meaning here', () => {
    const other = line({ c: 'c2', node: 'n1', exp: null });
    expect(parseHistory(`\ufeff${good}\r\n\r\n${other}\r\n`)).toHaveLength(2);
    expect(parseHistory(other)[0]).not.toHaveProperty('exp');
    expect(parseHistory('')).toEqual([]);
  });
});

describe('what is not sound is refused with line, field and reason', () => {
  it.each([
    [{ c: undefined }, 'c is missing, not a string'],
    [{ c: '' }, 'c is empty'],
    [{ op: 'read' }, 'op is "read", not one of get, put, delete, cas, txn'],
    [{ k: 7 }, 'k is 7, not a string'],
    [{ v: undefined }, 'v is missing, not a string'],
    [{ v: null }, 'v is null, not a string'],
    [{ exp: 'b' }, 'exp is "b", but a put has none'],
    [{ op: 'get', out: { st: 'ok', v: null } }, 'v is "a", but a get has none'],
    [{ op: 'cas' }, 'exp is missing, not a string or null'],
    [{ call: -1 }, 'call is -1, not an integer of 0 .. 2^53-1'],
    [{ call: 1.5 }, 'call is 1.5, not an integer'],
    [{ call: undefined }, 'call is missing'],
    [{ ret: undefined }, 'ret is missing'],
    [{ ret: null }, 'ret is null, but out.st is "ok": only an unknown outcome has no return'],
    [{ call: 5 }, 'ret is 2, before call at 5'],
    [{ out: undefined }, 'out is missing, not an object'],
    [{ out: [] }, 'out is [], not an object'],
    [{ out: {} }, 'out.st is missing, not one of ok, fail, unknown'],
    [{ out: { st: 'ok', v: 'a' } }, 'out.v is "a", but a put with out.st "ok" has none'],
    [{ out: { st: 'ok', rev: -1 } }, 'out.rev is -1, not an integer'],
    [{ out: { st: 'ok', ver: '1' } }, 'out.ver is "1", not an integer'],
    [{ op: 'get', v: null }, 'out.v is missing, not a string or null'],
    [{ op: 'txn', v: null }, 'k is "x": a txn has a list of its keys'],
    [{ op: 'txn', v: null, k: ['a', 2] }, 'k[1] is 2, not a string'],
  ])('%j', (fields, words) => {
    const error = refusal(good, '', line({ call: 3, ret: 4, ...withTimes(fields) }));
    expect(error.message).toContain(`history line 3: ${words}`);
    expect(error.details).toMatchObject({ line: 3 });
  });

  it('no JSON at all', () => {
    expect(refusal(good, '{"c":').message).toContain('history line 2: operation is not JSON');
    expect(refusal('[]').message).toContain('history line 1: operation is [], not an object');
  });
});

/** Cases that are about times bring their own. */
function withTimes(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if ('call' in fields && fields['call'] === 5) return { call: 5, ret: 2 };
  return fields;
}

describe('a client does one thing at a time', () => {
  it('overlapping operations: both lines are named', () => {
    const error = refusal(line({ call: 10, ret: 20 }), line({ c: 'c2' }), line({ call: 19, ret: 30 }));
    expect(error.message).toContain('history lines 1 and 3');
    expect(error.message).toContain('"c1"');
    expect(error.message).toContain('returned at 20, the second was called at 19');
    expect(error.details).toMatchObject({ lines: [1, 3] });
  });

  it('in whatever order they are written', () => {
    expect(refusal(line({ call: 19, ret: 30 }), line({ call: 10, ret: 20 })).details).toMatchObject({
      lines: [2, 1],
    });
    expect(parseHistory([line({ call: 20, ret: 30 }), line({ call: 10, ret: 20 })].join('\n'))).toHaveLength(
      2,
    );
  });

  it('after an operation that never returned there is none; after one that did there may be', () => {
    const open = line({ ret: null, out: { st: 'unknown' } });
    expect(refusal(open, line({ call: 99, ret: 100 })).message).toContain('never returned');
    const ended = line({ out: { st: 'unknown' } });
    expect(parseHistory([ended, line({ call: 2, ret: 100 })].join('\n'))).toHaveLength(2);
  });
});
