// What clients asked and what they were told, with times: the evidence for the checkers of the store's
// promises. A record is made before a request leaves the client and completed at most once. Keys and values
// are text here.

import { assertNever } from '../../base/assert.js';

export type OperationCall =
  /**
   * `condition`: the modRevision that the key must have; 0: it must not exist. Values are unique in a run.
   */
  | {
      readonly kind: 'put';
      readonly key: string;
      readonly value: string;
      readonly condition: number | undefined;
    }
  | { readonly kind: 'delete'; readonly key: string; readonly condition: number | undefined }
  | { readonly kind: 'get'; readonly key: string }
  /** All keys from `start` on, at most `limit`. */
  | { readonly kind: 'range'; readonly start: string; readonly limit: number };

export interface RecordSeen {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
  readonly createRevision: number;
  readonly version: number;
}

export type OperationResult =
  | {
      readonly kind: 'written';
      readonly code: 'OK' | 'CONFLICT';
      readonly revision: number;
      /** Keys deleted. */
      readonly count: number;
    }
  | { readonly kind: 'read'; readonly revision: number; readonly records: readonly RecordSeen[] }
  | { readonly kind: 'failed'; readonly code: string; readonly outcome: 'none' | 'unknown' };

export interface OperationRecord {
  readonly client: string;
  readonly call: OperationCall;
  /** Microseconds of virtual time. */
  readonly calledUs: number;
  /** The time that the caller gave it, and that for which its process was stopped meanwhile. */
  timeoutMs: number;
  returnedUs: number | undefined;
  result: OperationResult | undefined;
}

export class History {
  readonly operations: OperationRecord[] = [];

  begin(client: string, call: OperationCall, calledUs: number, timeoutMs: number): OperationRecord {
    const open = { returnedUs: undefined, result: undefined };
    const operation: OperationRecord = { client, call, calledUs, timeoutMs, ...open };
    this.operations.push(operation);
    return operation;
  }

  /** Operations that have a result that is not a failure. */
  get succeededCount(): number {
    return this.operations.filter(({ result }) => result !== undefined && result.kind !== 'failed').length;
  }
}

/** In words, for violations and traces. */
export function describeOperation({ client, call, result }: OperationRecord): string {
  const condition = 'condition' in call && call.condition !== undefined ? ` if ${call.condition}` : '';
  const what = call.kind === 'range' ? `range from ${call.start}` : `${call.kind} ${call.key}`;
  const value = call.kind === 'put' ? ` = ${call.value}` : '';
  return `${client}: ${what}${value}${condition} -> ${describeResult(result)}`;
}

function describeResult(result: OperationResult | undefined): string {
  if (result === undefined) return 'no answer';
  switch (result.kind) {
    case 'written':
      return `${result.code} at revision ${result.revision}, ${result.count} deleted`;
    case 'read': {
      const records = result.records.map(({ key, value, modRevision }) => `${key}=${value}@${modRevision}`);
      return `[${records.join(', ')}] at revision ${result.revision}`;
    }
    case 'failed':
      return `${result.code}, outcome ${result.outcome}`;
    default:
      return assertNever(result);
  }
}
