// The file format of histories: what clients asked of a store and what they were told, as JSON lines, so that
// any program can write one and any checker can read it. One operation per line:
//
//   {"c":"c1","op":"cas","k":"x","v":"b","exp":"a","call":1200,"ret":3400,"out":{"st":"ok","rev":7,"ver":2}}
//
// Parsing is strict, because a checker that misreads evidence is worse than none: an operation that is
// incomplete, or contradicts itself or another one, is refused with its line.

import { assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';

/** What a client did. `cas` writes only if the key has the value that was expected. */
export type HistoryKind = 'get' | 'put' | 'delete' | 'cas' | 'txn';

/**
 * What the client learned. `ok`: it happened, between call and ret. `fail`: it certainly did not happen, or,
 * for a cas with `out.v`, it was judged and its condition did not hold; nothing was changed. `unknown`: a
 * write may have happened, may still happen at any time after call, or never; a read told nothing.
 */
export type HistoryStatus = 'ok' | 'fail' | 'unknown';

export interface HistoryOutcome {
  readonly st: HistoryStatus;
  /**
   * Of a get with `ok`: the value read, null when the key was absent; required. Of a cas with `fail`: the
   * value that was found instead, null when the key was absent; without it the cas was never judged. Not
   * allowed elsewhere.
   */
  readonly v?: string | null;
  /**
   * The store's revision of the answer, an integer from 0: of a write that changed something its own; of a
   * get, of a delete of nothing and of a cas that was judged and failed, the one the whole store had when
   * the state was looked at, never that of the version found, which is `mod`. Optional.
   */
  readonly rev?: number;
  /** Of what was found by a get, or by a cas that failed: its own revision (modRevision). Optional. */
  readonly mod?: number;
  /** Version of the key after a put or cas with `ok`, or as it was found; 0: absent. From 0; optional. */
  readonly ver?: number;
  /**
   * Keys deleted by a delete with `ok`: 0 or 1. Optional; without it nobody knows whether `rev` is its own.
   */
  readonly n?: number;
}

/** One operation of one client. Other fields of a line are ignored. */
export interface HistoryOperation {
  /** The client, not empty: one thread of control that does one thing at a time. */
  readonly c: string;
  readonly op: HistoryKind;
  /** The key. Of a txn the line holds a list of all its keys; here they are joined by commas. */
  readonly k: string;
  /** Only of a txn: its keys. */
  readonly keys?: readonly string[];
  /** Of a put: the value written. Of a cas too, or null: the key is deleted. Required there, only there. */
  readonly v?: string | null;
  /** Of a cas: the value that must be there, null: the key must be absent. Required there, only there. */
  readonly exp?: string | null;
  /** When the client asked: nanoseconds on a clock that all clients of the file share, 0 .. 2^53-1. */
  readonly call: number;
  /**
   * When the client had the answer, not before `call`. null only with `unknown`: it never heard again, and
   * does nothing more under this name. After an `unknown` with a time it may go on from then.
   */
  readonly ret: number | null;
  readonly out: HistoryOutcome;
}

/** More operations in one file are refused. */
export const historyOperationsMax = 5_000_000;

const kinds: readonly HistoryKind[] = ['get', 'put', 'delete', 'cas', 'txn'];
const statuses: readonly HistoryStatus[] = ['ok', 'fail', 'unknown'];

type Fields = Readonly<Record<string, unknown>>;

/**
 * The operations of a file, in its order, which need not be that of time. Empty lines are skipped. Throws
 * INVALID_ARGUMENT with line, field and reason at the first line that is not a sound operation, and with both
 * lines when two operations of one client overlap.
 */
export function parseHistory(text: string): HistoryOperation[] {
  const operations: HistoryOperation[] = [];
  const lines: number[] = [];
  const reader = new LineReader();
  let start = text.startsWith('\ufeff') ? 1 : 0;
  while (start < text.length) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trim();
    reader.line++;
    start = end + 1;
    if (line === '') continue;
    if (operations.length === historyOperationsMax) {
      reader.fail('operation', `is one too many: at most ${historyOperationsMax}; split the file by key`);
    }
    operations.push(reader.operation(line));
    lines.push(reader.line);
  }
  checkOverlaps(operations, lines);
  return operations;
}

/** The operations as a file that `parseHistory` reads back as they are. */
export function formatHistory(operations: Iterable<HistoryOperation>): string {
  const lines: string[] = [];
  for (const { c, op, k, keys, v, exp, call, ret, out } of operations) {
    const { st, v: seen, rev, mod, ver, n } = out;
    // JSON leaves out what is undefined.
    lines.push(
      JSON.stringify({ c, op, k: keys ?? k, v, exp, call, ret, out: { st, v: seen, rev, mod, ver, n } }),
      '\n',
    );
  }
  return lines.join('');
}

/** An operation in words, for explanations. */
export function describeHistoryOperation({ c, op, k, v, exp, call, ret, out }: HistoryOperation): string {
  const written = v === undefined ? '' : v === null ? ' deleting it' : ` = ${quote(v)}`;
  const condition = exp === undefined ? '' : exp === null ? ' if absent' : ` if ${quote(exp)}`;
  const revision = out.rev === undefined ? '' : ` at revision ${out.rev}`;
  const seen = out.v === undefined ? '' : out.v === null ? ', key absent' : `, value ${quote(out.v)}`;
  const times = `${call} to ${ret ?? 'the end'}`;
  return `${c}: ${op} ${quote(k)}${written}${condition} -> ${out.st}${seen}${revision} (${times})`;
}

/** A key or value for people: as JSON has it, long ones cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

/** Reads one line after the other, and knows which one it is at. */
class LineReader {
  /** Counted from 1. */
  line = 0;

  fail(field: string, why: string): never {
    const details = { line: this.line, field };
    throw new KvorumError('INVALID_ARGUMENT', `history line ${this.line}: ${field} ${why}`, { details });
  }

  operation(text: string): HistoryOperation {
    const fields = this.object(this.json(text), 'operation');
    const op = this.oneOf(fields['op'], 'op', kinds);
    const c = this.string(fields['c'], 'c');
    if (c === '') this.fail('c', 'is empty: it names the client');
    const out = this.outcome(this.object(fields['out'], 'out'), op);
    const call = this.integer(fields['call'], 'call');
    const ret = fields['ret'] === null ? null : this.integer(fields['ret'], 'ret');
    if (ret === null && out.st !== 'unknown') {
      this.fail('ret', `is null, but out.st is ${quote(out.st)}: only an unknown outcome has no return`);
    }
    if (ret !== null && ret < call) this.fail('ret', `is ${ret}, before call at ${call}`);
    return { c, op, ...this.keyOf(fields, op), ...this.argumentsOf(fields, op), call, ret, out };
  }

  private json(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      return this.fail('operation', `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private keyOf(fields: Fields, op: HistoryKind): { k: string; keys?: readonly string[] } {
    const value = fields['k'];
    if (op !== 'txn') return { k: this.string(value, 'k') };
    if (!Array.isArray(value) || value.length === 0) {
      this.fail('k', `is ${describe(value)}: a txn has a list of its keys`);
    }
    const keys = value.map((key: unknown, i) => this.string(key, `k[${i}]`));
    return { k: keys.join(','), keys };
  }

  private argumentsOf(fields: Fields, op: HistoryKind): { v?: string | null; exp?: string | null } {
    const { v, exp } = fields;
    switch (op) {
      case 'put':
        this.absent(exp, 'exp', op);
        return { v: this.string(v, 'v') };
      case 'cas':
        return { v: this.stringOrNull(v, 'v'), exp: this.stringOrNull(exp, 'exp') };
      case 'get':
      case 'delete':
      case 'txn':
        this.absent(v, 'v', op);
        this.absent(exp, 'exp', op);
        return {};
      default:
        return assertNever(op);
    }
  }

  private outcome(fields: Fields, op: HistoryKind): HistoryOutcome {
    const st = this.oneOf(fields['st'], 'out.st', statuses);
    const { v, rev, mod, ver, n } = fields;
    const isRead = op === 'get' && st === 'ok';
    const isJudged = op === 'cas' && st === 'fail' && v !== undefined;
    if (!isRead && !isJudged) this.absent(v, 'out.v', `${op} with out.st ${quote(st)}`);
    return {
      st,
      ...(isRead || isJudged ? { v: this.stringOrNull(v, 'out.v') } : {}),
      ...(rev === undefined ? {} : { rev: this.integer(rev, 'out.rev') }),
      ...(mod === undefined ? {} : { mod: this.integer(mod, 'out.mod') }),
      ...(ver === undefined ? {} : { ver: this.integer(ver, 'out.ver') }),
      ...(n === undefined ? {} : { n: this.integer(n, 'out.n') }),
    };
  }

  private object(value: unknown, field: string): Fields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
    return this.fail(field, `is ${describe(value)}, not an object`);
  }

  private string(value: unknown, field: string): string {
    return typeof value === 'string' ? value : this.fail(field, `is ${describe(value)}, not a string`);
  }

  private stringOrNull(value: unknown, field: string): string | null {
    if (value === null || typeof value === 'string') return value;
    return this.fail(field, `is ${describe(value)}, not a string or null`);
  }

  private integer(value: unknown, field: string): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    return this.fail(field, `is ${describe(value)}, not an integer of 0 .. 2^53-1`);
  }

  private oneOf<T extends string>(value: unknown, field: string, names: readonly T[]): T {
    const found = names.find((name) => name === value);
    return found ?? this.fail(field, `is ${describe(value)}, not one of ${names.join(', ')}`);
  }

  /** null is as good as absent: many programs write fields they have no value for. */
  private absent(value: unknown, field: string, owner: string): void {
    if (value === undefined || value === null) return;
    this.fail(field, `is ${describe(value)}, but a ${owner} has none`);
  }
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'string') return quote(value);
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** A client does one thing at a time, and nothing more after an operation that never returned. */
function checkOverlaps(operations: readonly HistoryOperation[], lines: readonly number[]): void {
  const order = operations
    .map((_, i) => i)
    .sort((a, b) => compareTimes(operations[a], operations[b]) || a - b);
  const lastOf = new Map<string, number>();
  for (const i of order) {
    const operation = operations[i] as HistoryOperation;
    const previousAt = lastOf.get(operation.c);
    lastOf.set(operation.c, i);
    const previous = previousAt === undefined ? undefined : operations[previousAt];
    if (previous === undefined || (previous.ret !== null && previous.ret <= operation.call)) continue;
    const both = [lines[previousAt ?? 0] ?? 0, lines[i] ?? 0];
    const until = previous.ret === null ? 'never returned' : `returned at ${previous.ret}`;
    throw new KvorumError(
      'INVALID_ARGUMENT',
      `history lines ${both[0]} and ${both[1]}: field c: operations of client ${quote(operation.c)} ` +
        `overlap: the first ${until}, the second was called at ${operation.call}; give concurrent ` +
        'operations clients of their own',
      { details: { line: both[1], lines: both, field: 'c' } },
    );
  }
}

/** By call, then by return, an open operation last. */
export function compareTimes(a: HistoryOperation | undefined, b: HistoryOperation | undefined): number {
  return (a?.call ?? 0) - (b?.call ?? 0) || (a?.ret ?? Infinity) - (b?.ret ?? Infinity) || 0;
}
